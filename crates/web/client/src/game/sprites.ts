// Soft light, drawn once per colour: a canvas shadow for every ball and frame would cost too much.

import { css, type Rgb } from "./palette.ts";

const SIZE = 128;
const cache = new Map<string, HTMLCanvasElement>();

function glow(colour: Rgb): HTMLCanvasElement {
  const key = colour.join();
  let sprite = cache.get(key);
  if (sprite === undefined) {
    sprite = document.createElement("canvas");
    sprite.width = SIZE;
    sprite.height = SIZE;
    const context = sprite.getContext("2d")!;
    const light = context.createRadialGradient(SIZE / 2, SIZE / 2, 0, SIZE / 2, SIZE / 2, SIZE / 2);
    light.addColorStop(0, css(colour, 0.85));
    light.addColorStop(0.25, css(colour, 0.32));
    light.addColorStop(0.55, css(colour, 0.09));
    light.addColorStop(1, css(colour, 0));
    context.fillStyle = light;
    context.fillRect(0, 0, SIZE, SIZE);
    cache.set(key, sprite);
  }
  return sprite;
}

/** Adds light of this colour around a point; `rx` and `ry` are how far it reaches. */
export function shine(
  context: CanvasRenderingContext2D,
  colour: Rgb,
  x: number,
  y: number,
  rx: number,
  ry: number,
  alpha: number,
): void {
  if (alpha <= 0.004) return;
  const mode = context.globalCompositeOperation;
  const before = context.globalAlpha;
  context.globalCompositeOperation = "lighter";
  context.globalAlpha = before * Math.min(1, alpha);
  context.drawImage(glow(colour), x - rx, y - ry, rx * 2, ry * 2);
  context.globalAlpha = before;
  context.globalCompositeOperation = mode;
}
