import assert from "node:assert/strict";
import { test } from "node:test";

import { Chatter } from "./chatter.mjs";

function talking() {
  const chatter = new Chatter({ token: "t", name: "a", every_ms: 1_000, stay_ms: 2_500 });
  assert.deepEqual(chatter.opened(0), [{ type: "hello", token: "t" }]);
  assert.deepEqual(chatter.received({ type: "welcome" }, 1), [{ type: "channel_join", channel: "global", since: null }]);
  chatter.received({ type: "channel_joined", channel: "global", messages: [], recovered: true, last_offset: 7 }, 2);
  return chatter;
}

const heard = (offset, nonce) => ({ type: "chat_message", channel: "global", offset, nonce });

test("it talks, reads itself, and is done when all is read", () => {
  const chatter = talking();
  const [first] = chatter.tick(10);
  assert.deepEqual([first.type, first.nonce], ["chat_send", "a-1"]);
  assert.deepEqual(chatter.tick(500), []);
  chatter.received(heard(8, "b-1"), 20);
  chatter.received(heard(9, "a-1"), 30);
  assert.deepEqual(chatter.said_to_read_ms, [20]);
  const [second] = chatter.tick(1_100);
  assert.equal(second.nonce, "a-2");
  chatter.tick(2_600);
  assert.equal(chatter.done, false, "its second message is not read yet");
  chatter.received(heard(10, "a-2"), 2_700);
  chatter.tick(2_800);
  assert.deepEqual([chatter.state, chatter.errors, chatter.read, chatter.said], ["done", [], 3, 2]);
});

test("holes, repeats, refusals and silence are faults", () => {
  for (const offset of [9, 7, 6]) {
    const chatter = talking();
    chatter.received(heard(offset, "b-1"), 20);
    assert.deepEqual(chatter.errors, [`offset ${offset} after 7`]);
  }
  const refused = talking();
  refused.received({ type: "error", code: "rate_limited", of: "chat_send" }, 20);
  assert.deepEqual(refused.errors, ["rate_limited for chat_send"]);
  const unheard = talking();
  unheard.tick(10);
  unheard.tick(10_100);
  assert.deepEqual(unheard.errors, ["what was said was never read"]);
  const alone = new Chatter({ token: "t", name: "a", every_ms: 1, stay_ms: 1 });
  alone.opened(0);
  alone.tick(10_001);
  assert.equal(alone.state, "failed");
});
