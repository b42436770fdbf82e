// The colours of the arena. The same stand in style.css as custom properties.

import type { PowerUp } from "rally-sdk";

export type Rgb = readonly [number, number, number];

export const INK: Rgb = [8, 10, 18];
export const WHITE: Rgb = [255, 255, 255];
/** Left and right. */
export const SIDE_COLOURS: readonly [Rgb, Rgb] = [
  [255, 106, 61],
  [53, 208, 255],
];
export const POWER_UP_COLOURS: Readonly<Record<PowerUp, Rgb>> = {
  split: [190, 255, 92],
  blackout: [176, 132, 255],
  blackhole: [255, 84, 188],
};

export function css([r, g, b]: Rgb, alpha = 1): string {
  return `rgb(${r} ${g} ${b} / ${alpha.toFixed(3)})`;
}

export const DISPLAY_FONT = '"Avenir Next", "Segoe UI Variable Display", "Inter", "Roboto", "Helvetica Neue", system-ui, sans-serif';
