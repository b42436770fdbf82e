import { expect, test } from "vitest";

import { SnapshotClock } from "../src/game/clock.ts";
import { TICK_MS } from "../src/game/rules.ts";

/** A repeatable source of numbers in [0, 1). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** Snapshots of `from` to `to`, each `delayMs` after its tick; frames are drawn in between. */
function play(clock: SnapshotClock, from: number, to: number, delayMs: (tick: number) => number): number {
  let arrived = 0;
  for (let tick = from; tick < to; tick++) {
    arrived = Math.max(arrived, tick * TICK_MS + delayMs(tick));
    clock.arrived(tick, arrived);
    clock.tickAt(arrived);
  }
  return arrived;
}

test("without jitter the picture is two snapshots behind the newest", () => {
  const clock = new SnapshotClock();
  const now = play(clock, 0, 120, () => 40);
  expect(clock.tickAt(now)).toBeCloseTo(119 - 2, 3);
  expect(clock.link(now)).toMatchObject({ jitterMs: expect.closeTo(0, 5), gapMs: expect.closeTo(TICK_MS, 5) });
});

test("there is nothing to show before the first snapshot", () => {
  expect(new SnapshotClock().tickAt(5)).toBeNull();
});

test("jitter is answered with delay, and the clock itself is not moved by it", () => {
  const clock = new SnapshotClock();
  const random = numbers(7);
  const now = play(clock, 0, 300, () => 20 + 30 * random());
  expect(clock.delayMs).toBeGreaterThan(2 * TICK_MS + 20);
  expect(clock.delayMs).toBeLessThan(2 * TICK_MS + 32);
  expect(clock.offsetMs!).toBeGreaterThanOrEqual(20);
  expect(clock.offsetMs!).toBeLessThan(23);
  expect(clock.link(now).jitterMs).toBeGreaterThan(8);
});

test("with jitter the next snapshot is almost always there in time", () => {
  const clock = new SnapshotClock();
  const random = numbers(3);
  let [late, frames, newest, arrived] = [0, 0, -1, 0];
  for (let tick = 0; tick < 1200; tick++) {
    arrived = Math.max(arrived, tick * TICK_MS + 15 + 25 * random() ** 3);
    // A frame just before it arrives is the worst moment.
    if (tick > 60) {
      frames++;
      if (clock.tickAt(arrived - 0.01)! > newest) late++;
    }
    clock.arrived(tick, arrived);
    newest = tick;
  }
  expect(late / frames).toBeLessThan(0.03);
});

test("the picture never goes back, whatever the arrivals do", () => {
  const clock = new SnapshotClock();
  const random = numbers(11);
  let last = -Infinity;
  let nowMs = 0;
  for (let tick = 0; tick < 600; tick++) {
    nowMs = Math.max(nowMs, tick * TICK_MS + (tick > 300 ? 90 : 10) + 40 * random());
    clock.arrived(tick, nowMs);
    const shown = clock.tickAt(nowMs)!;
    expect(shown).toBeGreaterThanOrEqual(last);
    last = shown;
  }
});

test("a server that lost half a second is followed within some snapshots", () => {
  const clock = new SnapshotClock();
  play(clock, 0, 120, () => 10);
  const now = play(clock, 120, 126, () => 510);
  expect(clock.offsetMs).toBeCloseTo(510, 3);
  expect(clock.tickAt(now)).toBeCloseTo(125 - clock.delayMs / TICK_MS, 1);
});

test("the longest wait of the last second is told, the present one too", () => {
  const clock = new SnapshotClock();
  const now = play(clock, 0, 60, () => 10);
  expect(clock.link(now + 150).gapMs).toBeCloseTo(150, 3);
});
