// The prediction against a server that plays by the paddle's rules in sub-steps, behind a link of a given length.
import { expect, test } from "vitest";

import type { Dir, Skill } from "rally-sdk";
import { PaddlePrediction, type Truth } from "../src/game/prediction.ts";
import { TICK_MS, clamp, paddleSpeed } from "../src/game/rules.ts";

const SUB_STEPS = 4;

/** RULES.md, for one paddle. */
class Server {
  y = 540;
  dir: Dir = 0;
  ack = 0;
  cooldown = 0;
  active = 0;
  tick = 0;
  readonly speed: number;
  readonly skill: Skill | null;

  constructor(speed: number, skill: Skill | null) {
    this.speed = speed;
    this.skill = skill;
  }

  step(inputs: { seq: number; dir: Dir; press: boolean }[]): void {
    this.tick++;
    let pressed = false;
    for (const input of inputs) {
      this.ack = input.seq;
      this.dir = input.dir;
      pressed ||= input.press;
    }
    for (let i = 0; i < SUB_STEPS; i++) {
      this.cooldown = Math.max(0, this.cooldown - 1);
      this.active = Math.max(0, this.active - 1);
      if (pressed && this.cooldown === 0 && this.skill === "dash") [this.cooldown, this.active] = [1200, 72];
      pressed = false;
      const speed = this.skill === "dash" && this.active > 0 ? 2000 : this.speed;
      this.y = clamp(this.y + (this.dir * speed) / 240, 50, 1030);
    }
  }

  truth(atMs: number): Truth {
    const { y, dir, ack, speed } = this;
    return { y, dir, ack, speed, cooldown: Math.ceil(this.cooldown / 4), active: Math.ceil(this.active / 4), atMs, playing: true };
  }
}

interface Typed {
  atMs: number;
  dir: Dir;
  press?: boolean;
}

interface Shown {
  nowMs: number;
  y: number;
}

/** Plays `typed` over a link of `oneWayMs` each way; what is drawn each 5 ms, and what the server ends with. */
function play(typed: Typed[], endMs: number, oneWayMs: number, speed = 400, skill: Skill | null = null) {
  const server = new Server(speed, skill);
  const prediction = new PaddlePrediction(skill);
  const up: { atMs: number; input: { seq: number; dir: Dir; press: boolean } }[] = [];
  const down: { atMs: number; truth: Truth }[] = [];
  const shown: Shown[] = [];
  let next = 0;
  let dueMs = 0;
  for (let nowMs = 0; nowMs <= endMs; nowMs++) {
    if (nowMs >= dueMs) {
      dueMs += TICK_MS;
      server.step(up.splice(0, up.filter((sent) => sent.atMs <= nowMs).length).map(({ input }) => input));
      down.push({ atMs: nowMs + oneWayMs, truth: server.truth(nowMs + oneWayMs) });
    }
    while (down[0] && down[0].atMs <= nowMs) prediction.confirm(down.shift()!.truth, nowMs);
    while (typed[next] && typed[next]!.atMs <= nowMs) {
      const { dir, press = false } = typed[next++]!;
      up.push({ atMs: nowMs + oneWayMs, input: { seq: prediction.send(dir, press, nowMs), dir, press } });
    }
    const y = prediction.at(nowMs);
    if (y !== null && nowMs % 5 === 0) shown.push({ nowMs, y });
  }
  return { server, prediction, shown };
}

const at = (shown: Shown[], ms: number) => shown.find(({ nowMs }) => nowMs === ms)!.y;

test("the paddle moves at once, however long the way", () => {
  for (const oneWayMs of [2, 40, 120]) {
    const { shown } = play([{ atMs: 1000, dir: 1 }], 1100, oneWayMs);
    expect(at(shown, 1000)).toBeCloseTo(540, 1);
    // 400 u/s for 50 ms, give or take the half tick that the first input cannot know of.
    expect(Math.abs(at(shown, 1050) - 560)).toBeLessThan(4);
  }
});

test("prediction and server agree in the end", () => {
  const typed: Typed[] = [
    { atMs: 1000, dir: 1 },
    { atMs: 1250, dir: 0 },
    { atMs: 1300, dir: -1 },
    { atMs: 1380, dir: 1 },
    { atMs: 1900, dir: 0 },
  ];
  for (const oneWayMs of [1, 25, 80]) {
    const { server, shown } = play(typed, 3000, oneWayMs);
    expect(at(shown, 3000)).toBeCloseTo(server.y, 1);
  }
});

test("what was right is not corrected: the drawn paddle never jumps", () => {
  const typed: Typed[] = Array.from({ length: 30 }, (_, i) => ({ atMs: 800 + i * 90, dir: ([1, 0, -1] as const)[i % 3]! }));
  const { shown } = play(typed, 4000, 35);
  for (let i = 1; i < shown.length; i++) {
    // 400 u/s are 2 u in 5 ms; corrections may add as much again.
    expect(Math.abs(shown[i]!.y - shown[i - 1]!.y)).toBeLessThan(4.5);
  }
});

test("the latency of an input is learnt from its acknowledgement", () => {
  const typed: Typed[] = Array.from({ length: 40 }, (_, i) => ({ atMs: 500 + i * 60, dir: ([1, -1] as const)[i % 2]! }));
  const { prediction } = play(typed, 4000, 50);
  // There and back; a step comes half a tick later on average, and then plays a whole one at once.
  expect(prediction.latencyMs).toBeGreaterThan(82);
  expect(prediction.latencyMs).toBeLessThan(102);
});

test("a server that says otherwise is followed smoothly", () => {
  const prediction = new PaddlePrediction(null);
  const truth: Truth = { ack: 0, y: 500, dir: 0, speed: 400, cooldown: 0, active: 0, atMs: 0, playing: true };
  prediction.confirm(truth, 0);
  expect(prediction.at(0)).toBe(500);
  prediction.confirm({ ...truth, y: 540, atMs: 16 }, 16);
  expect(prediction.at(16)).toBeCloseTo(500, 3);
  expect(prediction.at(76)!).toBeGreaterThan(520);
  expect(prediction.at(500)).toBeCloseTo(540, 1);
});

test("far off it is put right at once", () => {
  const prediction = new PaddlePrediction(null);
  const truth: Truth = { ack: 0, y: 100, dir: 0, speed: 400, cooldown: 0, active: 0, atMs: 0, playing: true };
  prediction.confirm(truth, 0);
  prediction.confirm({ ...truth, y: 900, atMs: 16 }, 16);
  expect(prediction.at(16)).toBe(900);
});

test("the paddle stays on the field and stands while the clock does", () => {
  const { shown, server } = play([{ atMs: 500, dir: -1 }], 4000, 30);
  expect(server.y).toBe(50);
  expect(Math.min(...shown.map(({ y }) => y))).toBeCloseTo(50, 9);
  const prediction = new PaddlePrediction(null);
  prediction.confirm({ ack: 0, y: 300, dir: 1, speed: 400, cooldown: 0, active: 0, atMs: 0, playing: false }, 0);
  prediction.send(1, false, 5);
  expect(prediction.at(200)).toBe(300);
});

test("a dash is shown at once and agrees in the end", () => {
  const typed: Typed[] = [
    { atMs: 1000, dir: 1 },
    { atMs: 1100, dir: 1, press: true },
    { atMs: 1500, dir: 0 },
  ];
  const { server, shown } = play(typed, 3000, 40, 400, "dash");
  expect(at(shown, 1200) - at(shown, 1100)).toBeGreaterThan(180);
  expect(at(shown, 3000)).toBeCloseTo(server.y, 1);
});

test("a press while the skill cools down is no dash", () => {
  const typed: Typed[] = [
    { atMs: 1000, dir: -1, press: true },
    { atMs: 1040, dir: 1, press: false },
    { atMs: 2000, dir: -1, press: true },
    { atMs: 2200, dir: 0 },
  ];
  const { server, shown } = play(typed, 3500, 30, 400, "dash");
  expect(at(shown, 2000) - at(shown, 2100)).toBeLessThan(60);
  expect(at(shown, 3500)).toBeCloseTo(server.y, 1);
});

test("without snapshots the paddle does not run on for ever", () => {
  const prediction = new PaddlePrediction(null);
  prediction.confirm({ ack: 0, y: 540, dir: 1, speed: 400, cooldown: 0, active: 0, atMs: 0, playing: true }, 0);
  expect(prediction.at(5000)).toBe(prediction.at(1000));
});

test("a paddle goes with 0.6 of the fastest ball, within bounds", () => {
  expect(paddleSpeed([])).toBe(400);
  expect(paddleSpeed([{ vx: 600, vy: 0 }, { vx: -900, vy: 1200 }])).toBe(900);
  expect(paddleSpeed([{ vx: 3000, vy: 0 }])).toBe(1600);
});
