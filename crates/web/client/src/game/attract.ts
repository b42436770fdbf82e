// The home page's background: two paddles that never miss, drawn as a match is.

import { reducedMotion } from "../settings.ts";
import { type MatchEvent, type Side } from "rally-sdk";
import { Renderer } from "./renderer.ts";
import { BALL_RADIUS, HEIGHT, PADDLE_MARGIN, PADDLE_WIDTH, POSITION_SCALE, WIDTH, clamp } from "./rules.ts";
import type { Field } from "./timeline.ts";

const SPEED = 760;
const STEP_MS = 1000 / 120;

/** Plays on `canvas` until the result is called. */
export function attract(canvas: HTMLCanvasElement): () => void {
  const renderer = new Renderer(canvas);
  const ball = { x: WIDTH / 2, y: HEIGHT / 2, vx: SPEED, vy: SPEED * 0.42 };
  const paddles: [number, number] = [HEIGHT / 2, HEIGHT / 2];
  let events: MatchEvent[] = [];
  let lastMs = performance.now();
  let frame = 0;

  const step = (s: number) => {
    ball.x += ball.vx * s;
    ball.y += ball.vy * s;
    if (ball.y < BALL_RADIUS || ball.y > HEIGHT - BALL_RADIUS) {
      ball.y = clamp(ball.y, BALL_RADIUS, HEIGHT - BALL_RADIUS);
      ball.vy = -ball.vy;
    }
    for (const side of [0, 1] as const) {
      const comes = side === 0 ? ball.vx < 0 : ball.vx > 0;
      const wanted = comes ? ball.y + Math.sin(ball.x / 210) * 34 : HEIGHT / 2;
      paddles[side] = clamp(paddles[side] + clamp(wanted - paddles[side], -460 * s, 460 * s), 50, HEIGHT - 50);
      const face = PADDLE_MARGIN + PADDLE_WIDTH + BALL_RADIUS;
      const met = side === 0 ? ball.x <= face : ball.x >= WIDTH - face;
      if (!comes || !met) continue;
      const angle = clamp((ball.y - paddles[side]) / 50, -1, 1) * 0.7 + (Math.random() - 0.5) * 0.3;
      ball.vx = Math.cos(angle) * SPEED * (side === 0 ? 1 : -1);
      ball.vy = Math.sin(angle) * SPEED;
      events.push(hit(side === 0 ? "left" : "right", ball.y));
    }
  };

  const draw = (nowMs: number) => {
    const field = picture(paddles, ball);
    const calm = reducedMotion.value;
    renderer.draw({ field, events, place: "spectator", skills: [null, null], score: null, calm }, nowMs);
    events = [];
  };
  const loop = (nowMs: number) => {
    for (let ms = Math.min(100, nowMs - lastMs); ms > 0; ms -= STEP_MS) step(Math.min(ms, STEP_MS) / 1000);
    lastMs = nowMs;
    draw(nowMs);
    frame = requestAnimationFrame(loop);
  };
  const resize = new ResizeObserver(() => {
    renderer.resize();
    draw(performance.now());
  });
  resize.observe(canvas);
  const unsubscribe = reducedMotion.subscribe((calm) => {
    cancelAnimationFrame(frame);
    if (!calm) frame = requestAnimationFrame(loop);
  });

  return () => {
    unsubscribe();
    cancelAnimationFrame(frame);
    resize.disconnect();
  };
}

function hit(side: Side, y: number): MatchEvent {
  return {
    type: "match_event",
    match: "",
    tick: 0,
    n: 0,
    event: "hit",
    side,
    value: SPEED,
    y: y * POSITION_SCALE,
    score: null,
    skill: null,
    powerUp: null,
  };
}

function picture(paddles: [number, number], ball: Field["balls"][number]): Field {
  return {
    tick: 0,
    paddles: [...paddles],
    balls: [{ ...ball }],
    extrapolatedMs: 0,
    snapshot: {
      type: "snapshot",
      match: "",
      tick: 0,
      clock: 0,
      epoch: 0,
      phase: "playing",
      ack: [0, 0],
      paddles: [
        { y: 0, dir: 0 },
        { y: 0, dir: 0 },
      ],
      balls: [],
      score: [0, 0],
      skills: [
        { cooldown: 0, active: 0 },
        { cooldown: 0, active: 0 },
      ],
      powerUps: [],
      effects: [],
    },
  };
}
