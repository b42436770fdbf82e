// Power-ups on the field, and the black hole that one of them opens.

import { type PowerUp, type PowerUpState } from "rally-sdk";
import { POWER_UP_COLOURS, css } from "./palette.ts";
import { EFFECT_TICKS, HEIGHT, POSITION_SCALE, POWER_UP_RADIUS, POWER_UP_TICKS, WIDTH } from "./rules.ts";
import { shine } from "./sprites.ts";

export function drawPowerUp(context: CanvasRenderingContext2D, powerUp: PowerUpState, nowMs: number, calm: boolean): void {
  const colour = POWER_UP_COLOURS[powerUp.kind];
  const left = powerUp.ticksLeft / POWER_UP_TICKS;
  const age = POWER_UP_TICKS - powerUp.ticksLeft;
  const grown = Math.min(1, age / 12);
  const pulse = calm ? 0 : Math.sin(nowMs / 260 + powerUp.id);
  // The last two seconds are counted down by blinking.
  const blink = !calm && powerUp.ticksLeft < 120 ? 0.62 + 0.38 * Math.cos(nowMs / 70) : 1;

  context.save();
  context.translate(powerUp.x / POSITION_SCALE, powerUp.y / POSITION_SCALE);
  context.scale(1 - (1 - grown) ** 3, 1 - (1 - grown) ** 3);
  context.globalAlpha = blink;
  shine(context, colour, 0, 0, 130 + 8 * pulse, 130 + 8 * pulse, 0.55);
  context.fillStyle = css([10, 12, 22], 0.82);
  disc(context, POWER_UP_RADIUS);
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = css(colour, 0.28);
  disc(context, POWER_UP_RADIUS);
  context.stroke();
  context.lineWidth = 5;
  context.lineCap = "round";
  context.strokeStyle = css(colour, 0.95);
  context.beginPath();
  context.arc(0, 0, POWER_UP_RADIUS, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * left);
  context.stroke();
  drawSign(context, powerUp.kind, calm ? 0 : nowMs);
  context.restore();
}

function disc(context: CanvasRenderingContext2D, radius: number, x = 0, y = 0): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}

/** What a power-up does, without words, within 30 u around the origin. */
function drawSign(context: CanvasRenderingContext2D, kind: PowerUp, nowMs: number): void {
  const colour = css(POWER_UP_COLOURS[kind]);
  context.fillStyle = colour;
  context.strokeStyle = colour;
  context.lineWidth = 5;
  switch (kind) {
    case "split":
      // One ball becomes two.
      for (const y of [-17, 17]) {
        context.globalAlpha *= 0.9;
        context.beginPath();
        context.moveTo(-22, 0);
        context.lineTo(14, y);
        context.stroke();
        disc(context, 9, 19, y * 1.25);
        context.fill();
      }
      disc(context, 9, -24, 0);
      context.fill();
      break;
    case "blackout":
      // The sun behind the moon.
      disc(context, 25);
      context.fill();
      context.fillStyle = css([10, 12, 22]);
      disc(context, 22, 9, -7);
      context.fill();
      break;
    case "blackhole":
      context.rotate(nowMs / 900);
      for (let arm = 0; arm < 3; arm++) {
        context.rotate((2 * Math.PI) / 3);
        context.beginPath();
        for (let t = 0; t <= 1; t += 0.1) {
          const r = 9 + 21 * t;
          context.lineTo(r * Math.cos(t * 2.4), r * Math.sin(t * 2.4));
        }
        context.stroke();
      }
      disc(context, 6);
      context.fill();
      break;
  }
}

/** The hole at the centre of the field: it grows stronger to its end. */
export function drawBlackhole(context: CanvasRenderingContext2D, ticksLeft: number, nowMs: number, calm: boolean): void {
  const total = EFFECT_TICKS.blackhole;
  const progress = 1 - ticksLeft / total;
  const shown = Math.min(1, (total - ticksLeft) / 24, ticksLeft / 24);
  const strength = 0.6 + 0.8 * progress;
  const colour = POWER_UP_COLOURS.blackhole;
  const turn = calm ? 0 : (nowMs / 1000) * (1 + strength);

  context.save();
  context.translate(WIDTH / 2, HEIGHT / 2);
  context.globalAlpha = shown;
  shine(context, colour, 0, 0, 520 * strength, 520 * strength, 0.5);
  shine(context, [120, 90, 255], 0, 0, 300 * strength, 300 * strength, 0.6);
  context.lineCap = "round";
  context.globalCompositeOperation = "lighter";
  const arms = 5;
  for (let arm = 0; arm < arms; arm++) {
    for (let layer = 0; layer < 3; layer++) {
      context.save();
      context.rotate(-turn * (1 - layer * 0.22) + (arm * 2 * Math.PI) / arms + layer * 0.35);
      context.strokeStyle = css(layer === 1 ? [170, 140, 255] : colour, 0.2 - layer * 0.045);
      context.lineWidth = 16 - layer * 5;
      context.beginPath();
      for (let t = 0; t <= 1.001; t += 0.05) {
        const r = 58 + (300 + 60 * layer) * strength * t ** 1.3;
        const a = 2.6 * (1 - t) ** 1.2;
        context.lineTo(r * Math.cos(a), r * Math.sin(a));
      }
      context.stroke();
      context.restore();
    }
  }
  context.globalCompositeOperation = "source-over";
  const core = context.createRadialGradient(0, 0, 30, 0, 0, 82);
  core.addColorStop(0, "rgb(0 0 0 / 1)");
  core.addColorStop(0.78, "rgb(0 0 0 / 0.96)");
  core.addColorStop(1, "rgb(0 0 0 / 0)");
  context.fillStyle = core;
  disc(context, 82);
  context.fill();
  context.globalCompositeOperation = "lighter";
  context.lineWidth = 4;
  context.strokeStyle = css([255, 214, 240], 0.85);
  disc(context, 62);
  context.stroke();
  context.restore();
}
