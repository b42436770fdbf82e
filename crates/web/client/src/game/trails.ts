// The light that balls draw behind them. Snapshots do not name balls, so each is recognised by where it must be.

import { type BallState, type SideIndex } from "rally-sdk";
import { SIDE_COLOURS, WHITE, css, type Rgb } from "./palette.ts";
import { BALL_RADIUS, WIDTH } from "./rules.ts";
import { shine } from "./sprites.ts";

interface Point {
  x: number;
  y: number;
  atMs: number;
}

interface Track {
  points: Point[];
  ball: BallState | null;
  /** Who hit it last. */
  owner: SideIndex | null;
}

const TRAIL_MS = 260;
/** A ball further from all known ones than this is a new one. */
const SAME_U = 90;

export class Trails {
  #tracks: Track[] = [];

  follow(balls: readonly BallState[], nowMs: number): void {
    for (const track of this.#tracks) track.ball = null;
    for (const ball of balls) {
      let best: Track | null = null;
      let bestDistance = SAME_U;
      for (const track of this.#tracks) {
        const last = track.points.at(-1);
        if (track.ball !== null || last === undefined) continue;
        const distance = Math.hypot(last.x - ball.x, last.y - ball.y);
        if (distance < bestDistance) [best, bestDistance] = [track, distance];
      }
      if (best === null) {
        best = { points: [], ball: null, owner: null };
        this.#tracks.push(best);
      }
      best.ball = ball;
      best.points.push({ x: ball.x, y: ball.y, atMs: nowMs });
    }
    for (const track of this.#tracks) track.points = track.points.filter((point) => nowMs - point.atMs < TRAIL_MS);
    this.#tracks = this.#tracks.filter((track) => track.points.length > 0);
  }

  /** The ball nearest to this side's paddle is its own now. Where that ball is. */
  hitBy(side: SideIndex, y: number): { x: number; y: number; vx: number; vy: number } | null {
    const edge = side === 0 ? 60 : WIDTH - 60;
    let best: Track | null = null;
    const distance = (track: Track) => Math.hypot(track.ball!.x - edge, track.ball!.y - y);
    for (const track of this.#tracks) {
      if (track.ball !== null && (best === null || distance(track) < distance(best))) best = track;
    }
    if (best === null || best.ball === null) return null;
    best.owner = side;
    return best.ball;
  }

  draw(context: CanvasRenderingContext2D, nowMs: number): void {
    context.save();
    context.globalCompositeOperation = "lighter";
    for (const track of this.#tracks) ribbon(context, track, nowMs);
    context.restore();
    for (const track of this.#tracks) if (track.ball !== null) body(context, track.ball, colourOf(track));
  }
}

function colourOf(track: Track): Rgb {
  return track.owner === null ? WHITE : SIDE_COLOURS[track.owner];
}

function ribbon(context: CanvasRenderingContext2D, track: Track, nowMs: number): void {
  const colour = colourOf(track);
  const { points } = track;
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1]!, points[i]!];
    const fresh = 1 - (nowMs - b.atMs) / TRAIL_MS;
    context.strokeStyle = css(colour, 0.42 * fresh * fresh);
    context.lineWidth = BALL_RADIUS * 1.8 * fresh;
    context.beginPath();
    context.moveTo(a.x, a.y);
    context.lineTo(b.x, b.y);
    context.stroke();
  }
}

function body(context: CanvasRenderingContext2D, ball: BallState, colour: Rgb): void {
  const heat = Math.min(1, Math.max(0, (Math.hypot(ball.vx, ball.vy) - 600) / 900));
  shine(context, colour, ball.x, ball.y, 70 + 50 * heat, 70 + 50 * heat, 0.75 + 0.25 * heat);
  context.fillStyle = "#fff";
  context.beginPath();
  context.arc(ball.x, ball.y, BALL_RADIUS, 0, 2 * Math.PI);
  context.fill();
}
