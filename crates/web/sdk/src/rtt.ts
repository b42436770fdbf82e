// The way there and back, from pings: the median of the last few, so that one stray does not show.

const KEPT = 5;

export class Rtt {
  #samples: number[] = [];

  add(ms: number): void {
    if (!Number.isFinite(ms) || ms < 0) return;
    this.#samples.push(ms);
    if (this.#samples.length > KEPT) this.#samples.shift();
  }

  get ms(): number | null {
    const sorted = [...this.#samples].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? null;
  }
}
