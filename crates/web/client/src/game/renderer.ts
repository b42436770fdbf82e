// Draws the field as it is now, and lets what happened leave its marks: sparks, flashes, a shaken camera.
//
// Contract: `draw` once per frame with the field and the events since the last one. World units are mapped to the
// canvas whatever its size; the page keeps it at 16:9.

import { type MatchEvent, type Pair, type Place, type Side, type SideIndex, SIDES, type Skill } from "rally-sdk";
import { DISPLAY_FONT, INK, POWER_UP_COLOURS, SIDE_COLOURS, WHITE, css } from "./palette.ts";
import { Particles } from "./particles.ts";
import { drawBlackhole, drawPowerUp } from "./powers.ts";
import {
  BLACKOUT_FADE_TICKS,
  COOLDOWN_TICKS,
  EFFECT_TICKS,
  HEIGHT,
  PADDLE_HEIGHT,
  PADDLE_MARGIN,
  PADDLE_WIDTH,
  POSITION_SCALE,
  POWER_UP_RADIUS,
  WIDTH,
  clamp,
} from "./rules.ts";
import { shine } from "./sprites.ts";
import type { Field } from "./timeline.ts";
import { Trails } from "./trails.ts";

export interface Scene {
  field: Field;
  events: readonly MatchEvent[];
  place: Place;
  skills: Pair<Skill | null>;
  /** To be written on the floor; null for none. */
  score: Pair<number> | null;
  /** Without shaking and flashing. */
  calm: boolean;
}

/** More pixels than these cost frames and show nothing. */
const PIXELS_MAX = 2560 * 1440;
const LUNGE_U = 24;
const LUNGE_MS = 120;
const FLASH_MS = 900;
const SHAKE_MS = 320;
const COUNT_MS = 1000;
const GO_MS = 600;
const GHOST_MS = 220;

interface Ghost {
  y: number;
  atMs: number;
}

export class Renderer {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #ground = document.createElement("canvas");
  readonly #particles = new Particles();
  readonly #trails = new Trails();
  #lungeMs: Pair<number> = [-1e9, -1e9];
  #ghosts: Pair<Ghost[]> = [[], []];
  #goal: { side: SideIndex; atMs: number } | null = null;
  #shake: { strength: number; atMs: number } = { strength: 0, atMs: -1e9 };
  #count: { value: number; atMs: number } | null = null;
  #powerUps = new Map<number, { x: number; y: number; ticksLeft: number; kind: keyof typeof POWER_UP_COLOURS }>();

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false })!;
  }

  /** Follows the size of the canvas on the page; to call when that or the display has changed. */
  resize(): void {
    const { width, height } = this.#canvas.getBoundingClientRect();
    if (width === 0 || height === 0) return;
    const wanted = devicePixelRatio || 1;
    const ratio = Math.min(wanted, Math.sqrt(PIXELS_MAX / (width * height)));
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.#canvas.width === w && this.#canvas.height === h) return;
    this.#canvas.width = w;
    this.#canvas.height = h;
    this.#paintGround(w, h);
  }

  /** One's own press, shown before the server has heard of it. */
  lunge(side: SideIndex, nowMs: number): void {
    if (nowMs - this.#lungeMs[side] > 2 * LUNGE_MS) this.#lungeMs[side] = nowMs;
  }

  draw(scene: Scene, nowMs: number): void {
    const { field, calm } = scene;
    const context = this.#context;
    this.#trails.follow(field.balls, nowMs);
    for (const event of scene.events) this.#happen(event, scene, nowMs);
    this.#watchPowerUps(field, nowMs, calm);

    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
    context.drawImage(this.#ground, 0, 0);
    const scale = this.#canvas.width / WIDTH;
    const [shakeX, shakeY] = calm ? [0, 0] : this.#shaken(nowMs);
    context.setTransform(scale, 0, 0, scale, shakeX * scale, shakeY * scale);

    if (scene.score !== null) this.#drawScore(scene.score, nowMs);
    this.#drawEdges(scene, nowMs);
    for (const effect of field.snapshot.effects) {
      if (effect.kind === "blackhole") drawBlackhole(context, effect.ticksLeft, nowMs, calm);
    }
    for (const powerUp of field.snapshot.powerUps) drawPowerUp(context, powerUp, nowMs, calm);

    // In the dark one sees one's own paddle and the balls, nothing else.
    const own = SIDES.indexOf(scene.place as Side);
    if (own !== 0) this.#drawPaddle(0, scene, nowMs);
    if (own !== 1) this.#drawPaddle(1, scene, nowMs);
    this.#particles.draw(context, nowMs);
    this.#drawGoal(nowMs, calm);
    for (const effect of field.snapshot.effects) {
      if (effect.kind === "blackout" && effect.side !== null) this.#darken(effect.side, effect.ticksLeft, scene.place);
    }
    this.#trails.draw(context, nowMs);
    if (own === 0 || own === 1) this.#drawPaddle(own, scene, nowMs);
    this.#drawCount(nowMs, calm);
  }

  #happen(event: MatchEvent, scene: Scene, nowMs: number): void {
    const side = event.side === null ? null : (SIDES.indexOf(event.side) as SideIndex);
    const y = event.y === null ? null : event.y / POSITION_SCALE;
    switch (event.event) {
      case "hit":
        if (side !== null) this.#hit(side, y ?? scene.field.paddles[side], event.value ?? 600, scene.calm, nowMs);
        break;
      case "goal":
        if (side !== null) this.#scored(side, y ?? HEIGHT / 2, scene.calm, nowMs);
        break;
      case "skill":
        if (side !== null) this.lunge(side, nowMs);
        break;
      case "countdown":
        this.#count = { value: event.value ?? 0, atMs: nowMs };
        break;
      case "go":
        this.#count = { value: 0, atMs: nowMs };
        break;
    }
  }

  #hit(side: SideIndex, y: number, speed: number, calm: boolean, nowMs: number): void {
    const ball = this.#trails.hitBy(side, y);
    const x = side === 0 ? PADDLE_MARGIN + PADDLE_WIDTH : WIDTH - PADDLE_MARGIN - PADDLE_WIDTH;
    const force = clamp((speed - 500) / 1000, 0, 1);
    const angle = ball && Math.sign(ball.vx) === (side === 0 ? 1 : -1) ? Math.atan2(ball.vy, ball.vx) : side * Math.PI;
    const colour = SIDE_COLOURS[side];
    const count = calm ? 5 : Math.round(10 + 26 * force);
    this.#particles.burst({ x, y, colour, count, speed: 500 + 900 * force, angle, spread: 0.9, lifeMs: 420 }, nowMs);
    this.#particles.burst({ x, y, colour: WHITE, count: count / 2, speed: 700 + 700 * force, angle, spread: 0.5, lifeMs: 260 }, nowMs);
    this.#particles.ring(x, y, colour, 8, 60 + 90 * force, 300, 5 + 4 * force, nowMs);
    if (force > 0.5) this.#shake = { strength: 5 * force, atMs: nowMs };
  }

  #scored(side: SideIndex, y: number, calm: boolean, nowMs: number): void {
    const x = side === 0 ? WIDTH : 0;
    const colour = SIDE_COLOURS[side];
    this.#goal = { side, atMs: nowMs };
    this.#shake = { strength: 14, atMs: nowMs };
    const angle = side === 0 ? Math.PI : 0;
    this.#particles.burst({ x, y, colour, count: calm ? 8 : 90, speed: 1900, angle, spread: 1.3, lifeMs: 900 }, nowMs);
    this.#particles.burst({ x, y, colour: WHITE, count: calm ? 4 : 30, speed: 1400, angle, spread: 1.2, lifeMs: 600 }, nowMs);
    this.#particles.ring(x, y, colour, 20, 520, 700, 14, nowMs);
    this.#particles.ring(x, y, WHITE, 10, 260, 450, 6, nowMs);
  }

  /** A power-up that is gone before its time was collected. */
  #watchPowerUps(field: Field, nowMs: number, calm: boolean): void {
    const present = new Set<number>();
    for (const { id, kind, x, y, ticksLeft } of field.snapshot.powerUps) {
      present.add(id);
      this.#powerUps.set(id, { kind, x: x / POSITION_SCALE, y: y / POSITION_SCALE, ticksLeft });
    }
    for (const [id, { kind, x, y, ticksLeft }] of this.#powerUps) {
      if (present.has(id)) continue;
      this.#powerUps.delete(id);
      if (ticksLeft < 5) continue;
      const colour = POWER_UP_COLOURS[kind];
      this.#particles.ring(x, y, colour, POWER_UP_RADIUS, 260, 600, 10, nowMs);
      this.#particles.burst(
        { x, y, colour, count: calm ? 6 : 48, speed: 1100, angle: 0, spread: Math.PI, lifeMs: 700 },
        nowMs,
      );
    }
  }

  #shaken(nowMs: number): [number, number] {
    const part = (nowMs - this.#shake.atMs) / SHAKE_MS;
    if (part < 0 || part >= 1) return [0, 0];
    const strength = this.#shake.strength * (1 - part) ** 2;
    return [Math.sin(nowMs / 11) * strength, Math.cos(nowMs / 13) * strength];
  }

  #drawScore(score: Pair<number>, nowMs: number): void {
    const context = this.#context;
    context.save();
    context.font = `800 460px ${DISPLAY_FONT}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const side of [0, 1] as const) {
      const x = side === 0 ? WIDTH / 4 : (WIDTH * 3) / 4;
      const fresh = this.#goal?.side === side ? 1 - (nowMs - this.#goal.atMs) / 1400 : 0;
      const lit = fresh > 0 && fresh <= 1 ? fresh ** 2 : 0;
      context.fillStyle = css(SIDE_COLOURS[side], 0.055 + 0.5 * lit);
      context.fillText(String(score[side]), x, HEIGHT / 2 + 20);
    }
    context.restore();
  }

  /** The side lines, which fill up as the skill cools down. */
  #drawEdges({ field, skills }: Scene, nowMs: number): void {
    const context = this.#context;
    for (const side of [0, 1] as const) {
      const colour = SIDE_COLOURS[side];
      const x = side === 0 ? 0 : WIDTH - 6;
      context.fillStyle = css(colour, 0.14);
      context.fillRect(x, 0, 6, HEIGHT);
      const skill = skills[side];
      if (skill === null) continue;
      const { cooldown } = field.snapshot.skills[side];
      const ready = 1 - clamp(cooldown / COOLDOWN_TICKS[skill], 0, 1);
      const height = HEIGHT * ready;
      context.fillStyle = css(colour, ready === 1 ? 0.95 : 0.5);
      context.fillRect(x, HEIGHT - height, 6, height);
      if (ready === 1) {
        const breath = 0.16 + 0.05 * Math.sin(nowMs / 420);
        shine(context, colour, side === 0 ? 0 : WIDTH, HEIGHT / 2, 90, HEIGHT * 0.62, breath);
      }
    }
  }

  #drawPaddle(side: SideIndex, { field, skills, calm }: Scene, nowMs: number): void {
    const context = this.#context;
    const colour = SIDE_COLOURS[side];
    const forward = side === 0 ? 1 : -1;
    const skill = skills[side];
    const active = field.snapshot.skills[side].active > 0;
    const y = field.paddles[side];
    const lungePart = (nowMs - this.#lungeMs[side]) / LUNGE_MS;
    const lunges = skill === "smash" && lungePart >= 0 && lungePart < 1;
    const lunge = lunges ? Math.sin(Math.PI * lungePart) * LUNGE_U * forward : 0;
    const x = (side === 0 ? PADDLE_MARGIN : WIDTH - PADDLE_MARGIN - PADDLE_WIDTH) + lunge;
    const [left, top] = [x, y - PADDLE_HEIGHT / 2];

    const ghosts = this.#ghosts[side];
    const dashing = skill === "dash" && (active || (lungePart >= 0 && lungePart < 1));
    if (dashing && !calm) ghosts.push({ y, atMs: nowMs });
    while (ghosts[0] && nowMs - ghosts[0].atMs > GHOST_MS) ghosts.shift();
    for (const ghost of ghosts) {
      context.fillStyle = css(colour, 0.22 * (1 - (nowMs - ghost.atMs) / GHOST_MS));
      pill(context, left, ghost.y - PADDLE_HEIGHT / 2, PADDLE_WIDTH, PADDLE_HEIGHT);
    }

    const strong = (skill === "smash" && active) || lunges || dashing;
    shine(context, colour, x + PADDLE_WIDTH / 2, y, strong ? 150 : 80, strong ? 170 : 120, strong ? 1 : 0.6);
    if (strong && skill === "smash") {
      shine(context, WHITE, x + (forward > 0 ? PADDLE_WIDTH : 0), y, 40, 90, 0.7);
    }
    context.fillStyle = css(colour);
    pill(context, left, top, PADDLE_WIDTH, PADDLE_HEIGHT);
    // A bright core on the side that hits.
    context.fillStyle = css(WHITE, strong ? 0.95 : 0.55);
    pill(context, forward > 0 ? left + PADDLE_WIDTH - 6 : left + 2, top + 6, 4, PADDLE_HEIGHT - 12);
  }

  #darken(side: Side, ticksLeft: number, place: Place): void {
    const context = this.#context;
    const shown = clamp(Math.min(ticksLeft, EFFECT_TICKS.blackout - ticksLeft) / BLACKOUT_FADE_TICKS, 0, 1);
    if (place === side) {
      context.fillStyle = css([0, 0, 0], 0.95 * shown);
      context.fillRect(-20, -20, WIDTH + 40, HEIGHT + 40);
      return;
    }
    // Seen from outside: only a veil over the half of the one who sees nothing.
    const [near, far] = side === "left" ? [0, WIDTH * 0.5] : [WIDTH, WIDTH * 0.5];
    const veil = context.createLinearGradient(near, 0, far, 0);
    veil.addColorStop(0, css([16, 6, 38], 0.85 * shown));
    veil.addColorStop(0.8, css([16, 6, 38], 0.6 * shown));
    veil.addColorStop(1, css([16, 6, 38], 0));
    context.fillStyle = veil;
    context.fillRect(Math.min(near, far), 0, WIDTH / 2, HEIGHT);
  }

  #drawGoal(nowMs: number, calm: boolean): void {
    if (this.#goal === null) return;
    const part = (nowMs - this.#goal.atMs) / FLASH_MS;
    if (part < 0 || part >= 1) return;
    const context = this.#context;
    const colour = SIDE_COLOURS[this.#goal.side];
    // The light comes from where the ball went out.
    const [near, far] = this.#goal.side === 0 ? [WIDTH, WIDTH * 0.35] : [0, WIDTH * 0.65];
    const light = context.createLinearGradient(near, 0, far, 0);
    light.addColorStop(0, css(colour, (calm ? 0.2 : 0.45) * (1 - part) ** 2));
    light.addColorStop(1, css(colour, 0));
    context.fillStyle = light;
    context.fillRect(Math.min(near, far), 0, Math.abs(far - near), HEIGHT);
  }

  #drawCount(nowMs: number, calm: boolean): void {
    if (this.#count === null) return;
    const { value, atMs } = this.#count;
    const part = (nowMs - atMs) / (value === 0 ? GO_MS : COUNT_MS);
    if (part < 0 || part >= 1) return;
    const context = this.#context;
    const grow = calm ? 1 : 1 + 0.35 * (1 - Math.min(1, part * 5)) ** 2 + (value === 0 ? part * 0.5 : 0);
    context.save();
    context.translate(WIDTH / 2, HEIGHT / 2);
    context.globalAlpha = value === 0 ? 1 - part : Math.min(1, (1 - part) * 3);
    context.fillStyle = css(INK, 0.72);
    context.beginPath();
    context.arc(0, 0, 170, 0, 2 * Math.PI);
    context.fill();
    if (value > 0) {
      context.lineWidth = 6;
      context.strokeStyle = css(WHITE, 0.16);
      context.stroke();
      context.lineCap = "round";
      context.strokeStyle = css(WHITE, 0.9);
      context.beginPath();
      context.arc(0, 0, 170, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * (1 - part));
      context.stroke();
    }
    context.scale(grow, grow);
    context.fillStyle = "#fff";
    context.font = `800 ${value === 0 ? 130 : 210}px ${DISPLAY_FONT}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(value === 0 ? "GO" : String(value), 0, value === 0 ? 8 : 12);
    context.restore();
  }

  /** What never changes: the floor, its grid and lines. */
  #paintGround(width: number, height: number): void {
    this.#ground.width = width;
    this.#ground.height = height;
    const context = this.#ground.getContext("2d", { alpha: false })!;
    context.scale(width / WIDTH, height / HEIGHT);
    context.fillStyle = css(INK);
    context.fillRect(0, 0, WIDTH, HEIGHT);
    for (const side of [0, 1] as const) {
      const light = context.createRadialGradient(side * WIDTH, HEIGHT / 2, 0, side * WIDTH, HEIGHT / 2, 900);
      light.addColorStop(0, css(SIDE_COLOURS[side], 0.085));
      light.addColorStop(1, css(SIDE_COLOURS[side], 0));
      context.fillStyle = light;
      context.fillRect(0, 0, WIDTH, HEIGHT);
    }
    context.fillStyle = css([150, 165, 220], 0.13);
    for (let x = 60; x < WIDTH; x += 60) {
      for (let y = 60; y < HEIGHT; y += 60) context.fillRect(x - 1.25, y - 1.25, 2.5, 2.5);
    }
    context.fillStyle = css([190, 200, 240], 0.2);
    for (let y = 14; y < HEIGHT; y += 44) context.fillRect(WIDTH / 2 - 2, y, 4, 22);
    context.strokeStyle = css([190, 200, 240], 0.09);
    context.lineWidth = 3;
    context.beginPath();
    context.arc(WIDTH / 2, HEIGHT / 2, 180, 0, 2 * Math.PI);
    context.stroke();
    const wall = context.createLinearGradient(0, 0, WIDTH, 0);
    wall.addColorStop(0, css(SIDE_COLOURS[0], 0.8));
    wall.addColorStop(0.5, css([190, 200, 240], 0.22));
    wall.addColorStop(1, css(SIDE_COLOURS[1], 0.8));
    context.fillStyle = wall;
    context.fillRect(0, 0, WIDTH, 3);
    context.fillRect(0, HEIGHT - 3, WIDTH, 3);
  }
}

function pill(context: CanvasRenderingContext2D, x: number, y: number, width: number, height: number): void {
  context.beginPath();
  context.roundRect(x, y, width, height, Math.min(width, height) / 2.6);
  context.fill();
}
