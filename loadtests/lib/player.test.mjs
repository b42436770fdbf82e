// The scripted player, moved through virtual time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { INPUT_EVERY_MS, Player, edgeOf, guestName } from "./player.mjs";

const MATCH = "0190-match";

/** A player that has just been given its side, at time 0, ready to begin. */
function seated(side = "left") {
  const player = new Player({ token: "t", play_ms: 1_000, wait_ms: 500 });
  assert.deepEqual(player.opened(0), [{ type: "hello", token: "t" }]);
  assert.equal(player.received({ type: "welcome" }, 0)[0].type, "queue_join");
  assert.deepEqual(player.received({ type: "match_found", match: MATCH, side }, 0), [
    { type: "match_join", match: MATCH, as: "player" },
  ]);
  assert.deepEqual(player.received({ type: "match_joined", match: MATCH, side }, 0), [{ type: "ready", match: MATCH }]);
  return player;
}

const snapshot = (phase, ack) => ({ type: "snapshot", match: MATCH, phase, ack });

/** Ticks from `from_ms` to `to_ms`; each input is applied at once, and `lag_ms` later a snapshot says so. */
function run(player, from_ms, to_ms, lag_ms = 0) {
  const sent = [];
  for (let now_ms = from_ms; now_ms < to_ms; now_ms += INPUT_EVERY_MS) {
    sent.push(...player.tick(now_ms));
    player.received(snapshot("playing", [player.seq, player.seq]), now_ms + lag_ms);
  }
  return sent;
}

test("a match from hello to its end, the left one giving up", () => {
  const player = seated("left");
  player.received(snapshot("countdown", [0, 0]), 10);
  assert.deepEqual(player.tick(20).filter((each) => each.type === "input"), [], "no input before play");
  player.received(snapshot("playing", [0, 0]), 3_000);
  const sent = run(player, 3_000, 4_100, 12);
  const inputs = sent.filter((each) => each.type === "input");
  assert.deepEqual(inputs.map((each) => each.seq), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.equal(sent.at(-1).type, "forfeit");
  assert.deepEqual(new Set(player.input_to_snapshot_ms), new Set([12]));
  player.received({ type: "game_over", match: MATCH, reason: "forfeit" }, 4_200);
  assert.equal(player.state, "played");
  assert.deepEqual(player.errors, []);
});

test("the right one waits for the left one, then gives up too", () => {
  const player = seated("right");
  player.received(snapshot("playing", [0, 0]), 0);
  assert.equal(run(player, 0, 2_900).some((each) => each.type === "forfeit"), false);
  assert.equal(run(player, 2_900, 3_200).some((each) => each.type === "forfeit"), true);
  player.received({ type: "error", code: "not_found", of: "forfeit" }, 3_200);
  player.received({ type: "game_over", match: MATCH, reason: "forfeit" }, 3_300);
  assert.equal(player.state, "played");
});

test("an input counts from when it was sent to the first snapshot that covers it, on its own side", () => {
  const player = seated("right");
  player.received(snapshot("playing", [0, 0]), 0);
  player.tick(0);
  player.received(snapshot("playing", [9, 0]), 20);
  assert.deepEqual(player.input_to_snapshot_ms, []);
  player.tick(100);
  player.received(snapshot("playing", [9, 2]), 130);
  assert.deepEqual(player.input_to_snapshot_ms, [130, 30]);
});

test("alone, it leaves the queue and is no failure", () => {
  const player = new Player({ token: "t", play_ms: 1_000, wait_ms: 500 });
  player.opened(0);
  player.received({ type: "welcome" }, 0);
  assert.deepEqual(player.tick(400), []);
  assert.deepEqual(player.tick(600), [{ type: "queue_leave" }]);
  player.received({ type: "queue_left", mode: "casual" }, 610);
  assert.equal(player.state, "unpaired");
  assert.deepEqual(player.errors, []);
});

test("a match that comes while it leaves the queue is played", () => {
  const player = new Player({ token: "t", play_ms: 1_000, wait_ms: 500 });
  player.opened(0);
  player.received({ type: "welcome" }, 0);
  player.tick(600);
  assert.equal(player.received({ type: "match_found", match: MATCH, side: "left" }, 605)[0].type, "match_join");
  player.received({ type: "error", code: "already_in_match", of: "queue_leave" }, 610);
  assert.equal(player.state, "joining");
});

test("what is refused, lost, late or unmeasured is a failure", () => {
  const refused = seated();
  refused.received({ type: "error", code: "rate_limited", of: "ready" }, 5);
  assert.deepEqual([refused.state, refused.errors], ["failed", ["rate_limited for ready"]]);

  const lost = seated();
  lost.closed(1006);
  assert.equal(lost.state, "failed");

  const late = seated();
  late.tick(60_000);
  assert.equal(late.state, "failed");

  const ignored = seated();
  ignored.received(snapshot("playing", [0, 0]), 0);
  ignored.tick(0);
  ignored.received({ type: "game_over", match: MATCH, reason: "forfeit" }, 50);
  assert.equal(ignored.state, "failed", "no input was ever applied");
});

test("closing after the end is no failure", () => {
  const player = seated();
  player.received(snapshot("playing", [0, 0]), 0);
  run(player, 0, 300);
  player.received({ type: "game_over", match: MATCH, reason: "forfeit" }, 300);
  player.closed(1000);
  assert.equal(player.state, "played");
});

test("neighbours are on different edges, and names are valid", () => {
  const urls = "http://a:1/, http://b:2";
  assert.deepEqual([0, 1, 2].map((n) => edgeOf(urls, n)), ["http://a:1", "http://b:2", "http://a:1"]);
  for (let n = 0; n < 100; n += 1) assert.match(guestName("k6"), /^[A-Za-z0-9_]{3,20}$/);
});
