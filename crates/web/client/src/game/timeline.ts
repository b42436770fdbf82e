// The last snapshots, and the field at any moment between them.
//
// Between two snapshots everything is interpolated. Beyond the newest one balls fly on and bounce off the walls, and
// paddles go on, for a short while only: after that the picture stands still rather than lie.

import type { BallState, Pair, Snapshot } from "rally-sdk";
import { BALL_RADIUS, HEIGHT, POSITION_SCALE, TICK_MS, WIDTH, movePaddle, paddleSpeed } from "./rules.ts";

/** In u and u/s. */
export interface Field {
  tick: number;
  /** Everything else that does not move: of the snapshot before. */
  snapshot: Snapshot;
  paddles: Pair<number>;
  balls: BallState[];
  /** How much of this is a guess, in ms. */
  extrapolatedMs: number;
}

const KEPT = 32;
export const EXTRAPOLATION_MS_MAX = 120;

/** A ball that moved more than this between two ticks was served anew: the fastest does 25 u. */
const JUMP_U_PER_TICK = 40;

export class Timeline {
  #snapshots: Snapshot[] = [];

  reset(): void {
    this.#snapshots = [];
  }

  get newest(): Snapshot | null {
    return this.#snapshots.at(-1) ?? null;
  }

  /** Snapshots may come late or twice; those of an older owner than known are refused. */
  push(snapshot: Snapshot): boolean {
    const newest = this.newest;
    if (newest && snapshot.epoch < newest.epoch) return false;
    // A new owner's word replaces what an old one said of the same ticks.
    if (newest && snapshot.epoch > newest.epoch) {
      this.#snapshots = this.#snapshots.filter((kept) => kept.tick < snapshot.tick);
    }
    let at = this.#snapshots.length;
    while (at > 0 && this.#snapshots[at - 1]!.tick > snapshot.tick) at--;
    if (this.#snapshots[at - 1]?.tick === snapshot.tick) return false;
    this.#snapshots.splice(at, 0, snapshot);
    if (this.#snapshots.length > KEPT) this.#snapshots.shift();
    return true;
  }

  /** The field at `tick`; null before the first snapshot. */
  at(tick: number): Field | null {
    const all = this.#snapshots;
    if (all.length === 0) return null;
    let i = all.length - 1;
    while (i > 0 && all[i]!.tick > tick) i--;
    const before = all[i]!;
    const after = all[i + 1];
    if (tick <= before.tick) return still(before, before.tick);
    return after ? between(before, after, tick) : beyond(before, tick);
  }
}

const units = (position: number) => position / POSITION_SCALE;

function inUnits(ball: BallState): BallState {
  return { x: units(ball.x), y: units(ball.y), vx: ball.vx, vy: ball.vy };
}

function still(snapshot: Snapshot, tick: number): Field {
  return {
    tick,
    snapshot,
    paddles: [units(snapshot.paddles[0].y), units(snapshot.paddles[1].y)],
    balls: snapshot.balls.map(inUnits),
    extrapolatedMs: 0,
  };
}

function between(before: Snapshot, after: Snapshot, tick: number): Field {
  const span = after.tick - before.tick;
  const part = (tick - before.tick) / span;
  const mix = (a: number, b: number) => units(a + (b - a) * part);
  const claimed = new Set<number>();
  const balls = before.balls.flatMap((ball, i): BallState[] => {
    const next = successor(ball, i, before, after, claimed);
    // Gone in the next snapshot: it flies out meanwhile.
    if (next === null) return part < 0.5 ? [fly(inUnits(ball), part * span * TICK_MS, before)] : [];
    claimed.add(next);
    const b = after.balls[next]!;
    return [{ x: mix(ball.x, b.x), y: mix(ball.y, b.y), vx: ball.vx, vy: ball.vy }];
  });
  // New in the next snapshot: shown where it will be, from half-way on.
  if (part >= 0.5) {
    after.balls.forEach((ball, i) => {
      if (!claimed.has(i)) balls.push(inUnits(ball));
    });
  }
  return {
    tick,
    snapshot: before,
    paddles: [
      mix(before.paddles[0].y, after.paddles[0].y),
      mix(before.paddles[1].y, after.paddles[1].y),
    ],
    balls,
    extrapolatedMs: 0,
  };
}

/** Balls have no names: the same ball is the one nearest to where this one must be, its own index first. */
function successor(
  ball: BallState,
  index: number,
  before: Snapshot,
  after: Snapshot,
  claimed: ReadonlySet<number>,
): number | null {
  const limit = JUMP_U_PER_TICK * POSITION_SCALE * (after.tick - before.tick);
  const distance = (i: number) => Math.hypot(after.balls[i]!.x - ball.x, after.balls[i]!.y - ball.y);
  if (before.balls.length === after.balls.length && !claimed.has(index) && distance(index) <= limit) return index;
  let best: number | null = null;
  after.balls.forEach((_, i) => {
    if (claimed.has(i) || distance(i) > limit) return;
    if (best === null || distance(i) < distance(best)) best = i;
  });
  return best;
}

function beyond(newest: Snapshot, tick: number): Field {
  const field = still(newest, tick);
  if (newest.phase !== "playing") return field;
  const ms = Math.min((tick - newest.tick) * TICK_MS, EXTRAPOLATION_MS_MAX);
  const speed = paddleSpeed(newest.balls);
  field.extrapolatedMs = ms;
  field.balls = field.balls.map((ball) => fly(ball, ms, newest));
  field.paddles = [
    movePaddle(field.paddles[0], newest.paddles[0].dir, speed, ms),
    movePaddle(field.paddles[1], newest.paddles[1].dir, speed, ms),
  ];
  return field;
}

function fly(ball: BallState, ms: number, snapshot: Snapshot): BallState {
  if (snapshot.phase !== "playing") return ball;
  const low = BALL_RADIUS;
  const high = HEIGHT - BALL_RADIUS;
  const x = Math.min(Math.max(ball.x + (ball.vx * ms) / 1000, -BALL_RADIUS), WIDTH + BALL_RADIUS);
  let y = ball.y + (ball.vy * ms) / 1000;
  let { vy } = ball;
  if (y < low) {
    y = 2 * low - y;
    vy = Math.abs(vy);
  } else if (y > high) {
    y = 2 * high - y;
    vy = -Math.abs(vy);
  }
  return { x, y, vx: ball.vx, vy };
}
