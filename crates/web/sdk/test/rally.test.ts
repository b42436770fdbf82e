import { readFileSync } from "node:fs";
import { afterEach, expect, test, vi } from "vitest";

import { memory, Rally } from "../src/index.ts";
import { FakeEnv } from "./fake.ts";

const EDGE = "http://edge:8080";
const ID = "0191e8a4-7b1c-7def-8123-456789abcdef";

afterEach(() => vi.unstubAllGlobals());

test("a guest signs in at the edge named, queues at each welcome, and hears what is said", async () => {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(url);
    const body = { user: { id: ID, name: "ann", guest: true }, access_token: "a", refresh_token: "r", expires_in_s: 900 };
    return new Response(JSON.stringify(body), { status: 201 });
  });
  const env = new FakeEnv();
  const rally = new Rally(EDGE, memory(), env);
  const heard: string[] = [];
  rally.onLive = () => rally.send({ type: "queue_join", mode: "casual", skill: null });
  rally.onMessage = (message) => heard.push(message.type);

  expect(rally.send({ type: "queue_leave" }), "nothing is sent before there is a connection").toBe(false);
  expect((await rally.signInAsGuest("ann")).name).toBe("ann");
  rally.start();
  const welcome = {
    type: "welcome" as const,
    session: ID,
    user: { id: ID, name: "ann", guest: true },
    serverTimeMs: 0,
    tickHz: 60,
    resumed: false,
    edge: "one",
    edges: [EDGE],
    tokenExpiresInS: 900,
    match: null,
    queue: null,
    channels: [],
  };
  for (const n of [1, 2]) {
    await env.pass(n === 1 ? 0 : 500);
    expect(env.sockets).toHaveLength(n);
    env.last.opens();
    env.last.says(welcome);
    expect(env.last.sent.map((message) => message.type).slice(0, 2)).toEqual(["hello", "queue_join"]);
    env.last.closes(1006);
  }
  expect(heard).toEqual(["welcome", "welcome"]);
  expect(asked).toEqual([`${EDGE}/api/v1/auth/guest`]);
});

test("the example that is shown is the one that is checked", () => {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");
  const example = read("../examples/five-lines.ts").trim();
  for (const readme of ["../README.md", "../../../../README.md"]) expect(read(readme)).toContain(example);
});
