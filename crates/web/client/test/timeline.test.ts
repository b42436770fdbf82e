import { expect, test } from "vitest";

import { EXTRAPOLATION_MS_MAX, Timeline } from "../src/game/timeline.ts";
import { snapshot } from "./snapshots.ts";

const ball = (x: number, y: number, vx = 600, vy = 0) => ({ x, y, vx, vy });

test("between two snapshots everything is in between", () => {
  const timeline = new Timeline();
  timeline.push(snapshot({ tick: 10, paddles: [500, 540], balls: [ball(100, 200)] }));
  timeline.push(snapshot({ tick: 11, paddles: [510, 540], balls: [ball(110, 204)] }));
  const field = timeline.at(10.25)!;
  expect(field.paddles).toEqual([502.5, 540]);
  expect(field.balls).toEqual([ball(102.5, 201)]);
  expect(field.extrapolatedMs).toBe(0);
});

test("a lost snapshot is bridged", () => {
  const timeline = new Timeline();
  timeline.push(snapshot({ tick: 10, balls: [ball(100, 200)] }));
  timeline.push(snapshot({ tick: 14, balls: [ball(140, 200)] }));
  expect(timeline.at(12)!.balls[0]!.x).toBeCloseTo(120, 6);
});

test("snapshots are sorted, repeated ones and those of an older owner refused", () => {
  const timeline = new Timeline();
  expect(timeline.push(snapshot({ tick: 12, epoch: 2 }))).toBe(true);
  expect(timeline.push(snapshot({ tick: 11, epoch: 2 }))).toBe(true);
  expect(timeline.push(snapshot({ tick: 11, epoch: 2 }))).toBe(false);
  expect(timeline.push(snapshot({ tick: 13, epoch: 1 }))).toBe(false);
  expect(timeline.newest!.tick).toBe(12);
});

test("a new owner's word stands where the old one had gone further", () => {
  const timeline = new Timeline();
  timeline.push(snapshot({ tick: 20, balls: [ball(100, 100)] }));
  timeline.push(snapshot({ tick: 21, balls: [ball(110, 100)] }));
  timeline.push(snapshot({ tick: 20, epoch: 2, balls: [ball(300, 100)] }));
  expect(timeline.newest).toMatchObject({ tick: 20, epoch: 2 });
});

test("a late snapshot lets balls fly on and bounce, and paddles go on", () => {
  const timeline = new Timeline();
  const falling = ball(500, 1055, 300, 600);
  timeline.push(snapshot({ tick: 10, dirs: [1, 0], balls: [falling] }));
  const field = timeline.at(13)!;
  expect(field.extrapolatedMs).toBeCloseTo(50, 6);
  expect(field.balls[0]).toMatchObject({ x: 515, y: 1045, vy: -600 });
  // 0.6 x 671 u/s for 50 ms.
  expect(field.paddles[0]).toBeCloseTo(540 + 0.6 * Math.hypot(300, 600) * 0.05, 6);
});

test("guessing ends: the picture stands", () => {
  const timeline = new Timeline();
  timeline.push(snapshot({ tick: 10, balls: [ball(500, 500)] }));
  const far = timeline.at(1000)!;
  expect(far.extrapolatedMs).toBe(EXTRAPOLATION_MS_MAX);
  expect(far.balls[0]!.x).toBeCloseTo(500 + 0.6 * EXTRAPOLATION_MS_MAX, 6);
  timeline.push(snapshot({ tick: 11, phase: "paused", dirs: [1, 1], balls: [ball(500, 500)] }));
  expect(timeline.at(1000)).toMatchObject({ paddles: [540, 540], balls: [ball(500, 500)], extrapolatedMs: 0 });
});

test("a serve is a jump, not a flight across the field", () => {
  const timeline = new Timeline();
  timeline.push(snapshot({ tick: 10, balls: [ball(1930, 700)] }));
  timeline.push(snapshot({ tick: 11, balls: [ball(960, 540, -600)] }));
  for (const part of [0.1, 0.4, 0.6, 0.9]) {
    const [only, ...others] = timeline.at(10 + part)!.balls;
    expect(others).toEqual([]);
    expect(only!.x > 1900 || only!.x === 960).toBe(true);
  }
});

test("when a ball leaves, the others keep their own ways", () => {
  const timeline = new Timeline();
  timeline.push(snapshot({ tick: 10, balls: [ball(5, 300, -900), ball(700, 400), ball(900, 800, -600)] }));
  timeline.push(snapshot({ tick: 11, balls: [ball(710, 400), ball(890, 800, -600)] }));
  const { balls } = timeline.at(10.75)!;
  expect(balls.map(({ x, y }) => [x, y])).toEqual([
    [707.5, 400],
    [892.5, 800],
  ]);
});
