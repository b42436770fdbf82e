// One's own paddle, shown where it will be when the server has heard all that was typed.
//
// Every input is kept until a snapshot's `ack` covers it. A snapshot then gives the paddle's true place, and the inputs
// that it does not know yet are played again on top: each acts `latency` after it was sent, and the result is the place
// that a snapshot arriving `latency` from now will show. What the guess was off by is not corrected at once but fades.
//
// Times are local and in ms; `latency` is how long after its sending an input begins to
// show in snapshots.

import type { Dir, Skill } from "rally-sdk";
import { DASH_MS, DASH_SPEED, TICK_MS, clamp, movePaddle } from "./rules.ts";

interface Sent {
  seq: number;
  dir: Dir;
  /** This press begins a dash, as far as is known here. */
  dashes: boolean;
  atMs: number;
}

/** As the snapshot says: the paddle, and what moves it. */
export interface Truth {
  ack: number;
  y: number;
  dir: Dir;
  /** u/s, of both paddles. */
  speed: number;
  /** Skill in ticks left. */
  cooldown: number;
  active: number;
  /** When it arrived, or would have without jitter. */
  atMs: number;
  /** Whether the match clock runs. */
  playing: boolean;
}

/** Inputs kept: the server keeps as many. */
const KEPT = 64;
/** The error left after this time is 1/e of it. */
const FADE_MS = 60;
/** Beyond this the paddle is put where it belongs at once. */
const SNAP_U = 250;
const LATENCY_MS_FIRST = 40;
const LEARNING_RATE = 0.2;
/** Guesses do not reach further. */
const LATENCY_MS_MAX = 500;
/** After this long without a snapshot the paddle stops: nobody confirms that it moves. */
const BLIND_MS_MAX = 400;

export class PaddlePrediction {
  readonly #skill: Skill | null;
  #seq = 0;
  #sent: Sent[] = [];
  #truth: Truth | null = null;
  #latencyMs = LATENCY_MS_FIRST;
  #learnt = false;
  #shownError = 0;
  #frameMs = 0;

  constructor(skill: Skill | null) {
    this.#skill = skill;
  }

  get latencyMs(): number {
    return this.#latencyMs;
  }

  /** Notes an input that is sent now; its number is to travel with it. */
  send(dir: Dir, press: boolean, nowMs: number): number {
    this.#seq++;
    const dashes = press && this.#skill === "dash" && this.skillReady(nowMs);
    this.#sent.push({ seq: this.#seq, dir, dashes, atMs: nowMs });
    if (this.#sent.length > KEPT) this.#sent.shift();
    return this.#seq;
  }

  /** Whether a press now would count, as far as is known here. */
  skillReady(nowMs: number): boolean {
    const truth = this.#truth;
    if (this.#skill === null || truth === null || !truth.playing) return false;
    if (this.#sent.some((input) => input.dashes)) return false;
    return (truth.cooldown * 1000) / 60 <= nowMs - truth.atMs + this.#latencyMs;
  }

  /** Takes a snapshot's word. */
  confirm(truth: Truth, nowMs: number): void {
    const before = this.#truth === null ? null : this.#place(nowMs) + this.#faded(nowMs);
    for (const input of this.#sent) {
      if (input.seq !== truth.ack) continue;
      // Only the first snapshot that knows it finds it here, and has a whole tick of it in its picture.
      const sample = clamp(truth.atMs - TICK_MS - input.atMs, 0, LATENCY_MS_MAX);
      this.#latencyMs += (sample - this.#latencyMs) * (this.#learnt ? LEARNING_RATE : 1);
      this.#learnt = true;
    }
    this.#sent = this.#sent.filter((input) => input.seq > truth.ack);
    this.#truth = truth;
    this.#frameMs = nowMs;
    const error = before === null ? 0 : before - this.#place(nowMs);
    this.#shownError = Math.abs(error) > SNAP_U ? 0 : error;
  }

  /** Where to draw the paddle's centre, in u; null before the first snapshot. */
  at(nowMs: number): number | null {
    if (this.#truth === null) return null;
    return movePaddle(this.#place(nowMs) + this.#faded(nowMs), 0, 0, 0);
  }

  #faded(nowMs: number): number {
    return this.#shownError * Math.exp(-Math.max(0, nowMs - this.#frameMs) / FADE_MS);
  }

  /** The true place, played on with what is not confirmed yet. */
  #place(nowMs: number): number {
    const truth = this.#truth!;
    if (!truth.playing) return truth.y;
    const end = Math.min(nowMs, truth.atMs + BLIND_MS_MAX) + this.#latencyMs;
    let { y, dir } = truth;
    let at = truth.atMs;
    let dashEnd = this.#skill === "dash" ? truth.atMs + (truth.active * 1000) / 60 : truth.atMs;

    const playTo = (until: number) => {
      // In a dash up to its end, the rest at the common speed.
      const fast = Math.max(0, Math.min(until, dashEnd) - at);
      y = movePaddle(y, dir, DASH_SPEED, fast);
      y = movePaddle(y, dir, truth.speed, Math.max(0, until - at - fast));
      at = Math.max(at, until);
    };
    for (const input of this.#sent) {
      const acts = input.atMs + this.#latencyMs;
      if (acts > end) break;
      playTo(Math.max(at, acts));
      dir = input.dir;
      if (input.dashes) dashEnd = at + DASH_MS;
    }
    playTo(end);
    return y;
  }
}
