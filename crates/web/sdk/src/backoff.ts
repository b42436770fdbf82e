// How long to wait before the next attempt: doubling from `BASE_MS` to `MAX_MS`, the upper half of it drawn at random,
// so that all who lost the same edge do not come back at the same moment. The first attempt comes at once, or nearly.

const BASE_MS = 250;
const MAX_MS = 8000;

/** `attempt` counts failures in a row, from 1; `random` is in [0, 1). */
export function backoffMs(attempt: number, random: number): number {
  const whole = Math.min(MAX_MS, BASE_MS * 2 ** Math.min(attempt - 1, 16));
  return whole / 2 + (whole / 2) * random;
}
