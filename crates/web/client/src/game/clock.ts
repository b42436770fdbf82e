// Which tick is to be seen now.
//
// A snapshot of tick n arrives at n/60 s plus an offset that is constant but for delays on the way, and those only
// ever add. So the least offset of the last second is the server's clock as it appears here, and what arrives later
// than that is jitter. The picture is drawn `delay` behind that clock, so that the next snapshot is almost always
// there already: two snapshots, plus what jitter there is.
//
// Contract: `arrived` for each snapshot in order of arrival, `tickAt` for each frame. Times are local and in ms.

import { TICK_MS, clamp } from "./rules.ts";

/** Snapshots that the estimates look back on: one second. */
const WINDOW = 60;
/** Snapshots of one second are this late before the clock is taken to have jumped. */
const JUMP_MS = 250;
const JUMP_SAMPLES = 3;
/** The picture runs at most this much faster or slower to follow its clock: not visible. */
const SLEW_RATE = 0.04;
const DELAY_SNAPSHOTS = 2;
const DELAY_MS_MAX = 200;

export interface Link {
  /** Mean distance of an arrival from its due time. */
  jitterMs: number;
  /** Longest time without a snapshot in the last second. */
  gapMs: number;
}

export class SnapshotClock {
  #offsets: number[] = [];
  #arrivals: number[] = [];
  #late = 0;
  /** Local time of tick 0 as drawn now; follows the estimate smoothly. */
  #shown: number | null = null;
  #shownAt = 0;

  reset(): void {
    this.#offsets = [];
    this.#arrivals = [];
    this.#late = 0;
    this.#shown = null;
  }

  arrived(tick: number, nowMs: number): void {
    const offset = nowMs - tick * TICK_MS;
    const least = this.offsetMs;
    if (least !== null) {
      this.#late = Math.abs(offset - least) > JUMP_MS ? this.#late + 1 : 0;
      // The server's schedule itself has moved (it shed ticks, or another worker took over).
      if (this.#late >= JUMP_SAMPLES) {
        const arrivals = this.#arrivals;
        this.reset();
        this.#arrivals = arrivals;
      }
    }
    push(this.#offsets, offset);
    push(this.#arrivals, nowMs);
  }

  /** Local time of the server's tick 0, as fast as snapshots come. */
  get offsetMs(): number | null {
    return this.#offsets.length === 0 ? null : Math.min(...this.#offsets);
  }

  get delayMs(): number {
    return clamp(DELAY_SNAPSHOTS * TICK_MS + this.#jitterPeak(), 0, DELAY_MS_MAX);
  }

  /** The tick, with its fraction, to draw at `nowMs`; null before the first snapshot. Never goes back. */
  tickAt(nowMs: number): number | null {
    const offset = this.offsetMs;
    if (offset === null) return null;
    const target = offset + this.delayMs;
    if (this.#shown === null || Math.abs(target - this.#shown) > JUMP_MS) {
      this.#shown = target;
    } else {
      const step = Math.max(0, nowMs - this.#shownAt) * SLEW_RATE;
      this.#shown += clamp(target - this.#shown, -step, step);
    }
    this.#shownAt = nowMs;
    return (nowMs - this.#shown) / TICK_MS;
  }

  link(nowMs: number): Link {
    const least = this.offsetMs ?? 0;
    const jitterMs = this.#offsets.reduce((sum, o) => sum + o - least, 0) / Math.max(1, this.#offsets.length);
    let gapMs = 0;
    for (let i = 1; i < this.#arrivals.length; i++) {
      gapMs = Math.max(gapMs, this.#arrivals[i]! - this.#arrivals[i - 1]!);
    }
    const last = this.#arrivals.at(-1);
    if (last !== undefined) gapMs = Math.max(gapMs, nowMs - last);
    return { jitterMs, gapMs };
  }

  /** What one arrival in twenty exceeds: a single late one costs a bit of extrapolation, not delay for all. */
  #jitterPeak(): number {
    const least = this.offsetMs ?? 0;
    const late = this.#offsets.map((offset) => offset - least).sort((a, b) => a - b);
    return late[Math.floor(late.length * 0.95)] ?? 0;
  }
}

function push(samples: number[], sample: number): void {
  samples.push(sample);
  if (samples.length > WINDOW) samples.shift();
}
