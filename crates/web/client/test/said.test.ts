import { expect, test } from "vitest";

import type { ChatMessage } from "rally-sdk";
import { NOTHING, SHOWN_MAX, parts, take } from "../src/ui/said.ts";

const from = { id: "0191e8a4-7b1c-7def-8123-456789abcdef", name: "ann", guest: true };
const message = (offset: number, text: string, edits: number | null = null): ChatMessage => ({
  type: "chat_message",
  channel: "global",
  offset,
  id: from.id,
  from,
  text,
  sentAt: 0,
  nonce: null,
  edits,
  mentions: [],
});
const texts = (said: { shown: ChatMessage[] }) => said.shown.map(({ text }) => text);

test("messages are shown in order and once", () => {
  const some = take(NOTHING, [message(1, "a"), message(2, "b")]);
  const more = take(some, [message(2, "b"), message(3, "c")]);
  expect([texts(more), more.last]).toEqual([["a", "b", "c"], 3]);
});

test("what is edited says the new, what is taken back is gone", () => {
  let said = take(NOTHING, [message(1, "a"), message(2, "b")]);
  said = take(said, [message(3, "A", 1)]);
  expect(texts(said)).toEqual(["A", "b"]);
  said = take(said, [message(4, "", 1)]);
  expect([texts(said), said.last]).toEqual([["b"], 4]);
  // Taken back before one came: the text is not even told.
  expect(texts(take(NOTHING, [message(1, ""), message(2, "", 1), message(3, "c")]))).toEqual(["c"]);
});

test("so many are shown and no more", () => {
  const many = Array.from({ length: SHOWN_MAX + 50 }, (_, i) => message(i + 1, String(i + 1)));
  const { shown } = take(NOTHING, many);
  expect([shown.length, shown[0]!.offset]).toEqual([SHOWN_MAX, 51]);
});

test("names are told from what stands between them", () => {
  const names = (text: string) => parts(text).filter(({ isName }) => isName).map(({ text }) => text);
  expect(names("hi @Ada, (@bob_2)!")).toEqual(["@Ada", "@bob_2"]);
  expect(names("ada@example.com @ab @@eve")).toEqual(["@eve"]);
  expect(parts("<b>@ada</b>").map(({ text }) => text).join("")).toBe("<b>@ada</b>");
});
