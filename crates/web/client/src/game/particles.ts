// Sparks and rings: short-lived light with no say in the game.

import { css, type Rgb } from "./palette.ts";
import { shine } from "./sprites.ts";

interface Spark {
  x: number;
  y: number;
  vx: number;
  vy: number;
  colour: Rgb;
  bornMs: number;
  lifeMs: number;
  width: number;
}

interface Ring {
  x: number;
  y: number;
  colour: Rgb;
  bornMs: number;
  lifeMs: number;
  from: number;
  to: number;
  width: number;
}

const SPARKS_MAX = 320;
const RINGS_MAX = 24;

export interface Burst {
  x: number;
  y: number;
  colour: Rgb;
  count: number;
  /** u/s of the fastest. */
  speed: number;
  /** Direction in radians, and how far around it they go. */
  angle: number;
  spread: number;
  lifeMs: number;
}

export class Particles {
  #sparks: Spark[] = [];
  #rings: Ring[] = [];

  burst({ x, y, colour, count, speed, angle, spread, lifeMs }: Burst, nowMs: number): void {
    for (let i = 0; i < count && this.#sparks.length < SPARKS_MAX; i++) {
      const a = angle + (Math.random() - 0.5) * 2 * spread;
      const v = speed * (0.15 + 0.85 * Math.random() ** 2);
      this.#sparks.push({
        x,
        y,
        vx: Math.cos(a) * v,
        vy: Math.sin(a) * v,
        colour,
        bornMs: nowMs,
        lifeMs: lifeMs * (0.4 + 0.6 * Math.random()),
        width: 2 + Math.random() * 3,
      });
    }
  }

  ring(x: number, y: number, colour: Rgb, from: number, to: number, lifeMs: number, width: number, nowMs: number): void {
    if (this.#rings.length < RINGS_MAX) this.#rings.push({ x, y, colour, bornMs: nowMs, lifeMs, from, to, width });
  }

  draw(context: CanvasRenderingContext2D, nowMs: number): void {
    this.#sparks = this.#sparks.filter((spark) => nowMs - spark.bornMs < spark.lifeMs);
    this.#rings = this.#rings.filter((ring) => nowMs - ring.bornMs < ring.lifeMs);
    if (this.#sparks.length + this.#rings.length === 0) return;
    context.save();
    context.globalCompositeOperation = "lighter";
    context.lineCap = "round";
    for (const spark of this.#sparks) {
      const age = (nowMs - spark.bornMs) / 1000;
      const part = age / (spark.lifeMs / 1000);
      // Air slows them down: the way is that of an exponential.
      const slow = (1 - Math.exp(-4 * age)) / 4;
      const before = (1 - Math.exp(-4 * Math.max(0, age - 0.035))) / 4;
      context.strokeStyle = css(spark.colour, (1 - part) ** 1.5);
      context.lineWidth = spark.width * (1 - part * 0.6);
      context.beginPath();
      context.moveTo(spark.x + spark.vx * before, spark.y + spark.vy * before);
      context.lineTo(spark.x + spark.vx * slow, spark.y + spark.vy * slow);
      context.stroke();
    }
    for (const ring of this.#rings) {
      const part = (nowMs - ring.bornMs) / ring.lifeMs;
      const eased = 1 - (1 - part) ** 3;
      const radius = ring.from + (ring.to - ring.from) * eased;
      context.strokeStyle = css(ring.colour, 0.8 * (1 - part) ** 2);
      context.lineWidth = ring.width * (1 - part) + 0.5;
      context.beginPath();
      context.arc(ring.x, ring.y, radius, 0, 2 * Math.PI);
      context.stroke();
      shine(context, ring.colour, ring.x, ring.y, radius, radius, 0.25 * (1 - part) ** 2);
    }
    context.restore();
  }
}
