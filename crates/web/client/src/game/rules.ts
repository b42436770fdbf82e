// The few rules that the page needs to draw ahead of the server: the field, and how fast a paddle goes.
// The server's `sim` decides; what is here only hides the way there and back.

import type { BallState } from "rally-sdk";

export const WIDTH = 1920;
export const HEIGHT = 1080;
export const TICK_MS = 1000 / 60;

export const BALL_RADIUS = 15;
export const PADDLE_WIDTH = 15;
export const PADDLE_HEIGHT = 100;
export const PADDLE_MARGIN = 30;
export const POWER_UP_RADIUS = 55;

/** Positions travel in 1/16 u. */
export const POSITION_SCALE = 16;

/** Ticks for which each lasts, for how much of it is over. */
export const POWER_UP_TICKS = 9 * 60;
export const EFFECT_TICKS = { split: 10 * 60, blackout: 5 * 60, blackhole: 8 * 60 } as const;
export const BLACKOUT_FADE_TICKS = 30;
export const COOLDOWN_TICKS = { smash: 3 * 60, dash: 5 * 60 } as const;

export const DASH_SPEED = 2000;
export const DASH_MS = 300;

export const PADDLE_Y_MIN = PADDLE_HEIGHT / 2;
export const PADDLE_Y_MAX = HEIGHT - PADDLE_HEIGHT / 2;

export function clamp(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}

/** Speed of both paddles in u/s, for balls as they stand. */
export function paddleSpeed(balls: readonly Pick<BallState, "vx" | "vy">[]): number {
  let fastest = 0;
  for (const ball of balls) fastest = Math.max(fastest, Math.hypot(ball.vx, ball.vy));
  return clamp(0.6 * fastest, 400, 1600);
}

/** Where a paddle is after `ms` of one direction at one speed. */
export function movePaddle(y: number, dir: number, speed: number, ms: number): number {
  return clamp(y + (dir * speed * ms) / 1000, PADDLE_Y_MIN, PADDLE_Y_MAX);
}
