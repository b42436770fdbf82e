// Keys and fingers, as directions held and skills pressed.
//
// With one paddle: W/S or the arrows, Space or Enter. With two: left W/S and Space, right arrows and Enter. P or Esc
// pauses. A finger drags the paddle along; with two paddles each half of the screen is one's own.
// Keys are those of their place on the board, so that other layouts work too.

import type { Dir, SideIndex } from "rally-sdk";
import { HEIGHT } from "./rules.ts";

export interface Actions {
  /** Played here. */
  sides(): readonly SideIndex[];
  hold(side: SideIndex, dir: Dir): void;
  press(side: SideIndex): void;
  pause(): void;
  /** Where this paddle is drawn, in u. */
  paddleY(side: SideIndex): number | null;
  /** Height of the field on the screen, in CSS pixels. */
  fieldHeightPx(): number;
}

type Role = { kind: "move"; hand: SideIndex; dir: -1 | 1 } | { kind: "press"; hand: SideIndex };

/** `hand`: which of two players at one keyboard it belongs to. */
const KEYS: Record<string, Role> = {
  KeyW: { kind: "move", hand: 0, dir: -1 },
  KeyS: { kind: "move", hand: 0, dir: 1 },
  ArrowUp: { kind: "move", hand: 1, dir: -1 },
  ArrowDown: { kind: "move", hand: 1, dir: 1 },
  Space: { kind: "press", hand: 0 },
  Enter: { kind: "press", hand: 1 },
};

/** Nearer than this to the finger, the paddle rests. */
const DEAD_U = 16;
/** On a small screen a finger moves the paddle at most so many units per pixel. */
const GAIN_MAX = 3.5;

interface Drag {
  side: SideIndex;
  fromPx: number;
  fromU: number;
  targetU: number;
}

export class Controls {
  readonly #actions: Actions;
  readonly #surface: HTMLElement;
  /** Keys that are down, the latest last. */
  #down: string[] = [];
  #drags = new Map<number, Drag>();
  readonly #abort = new AbortController();

  constructor(surface: HTMLElement, actions: Actions) {
    this.#surface = surface;
    this.#actions = actions;
    const { signal } = this.#abort;
    addEventListener("keydown", (event) => this.#keyDown(event), { signal });
    addEventListener("keyup", (event) => this.#keyUp(event), { signal });
    addEventListener("blur", () => this.release(), { signal });
    addEventListener("click", letGo, { signal });
    document.addEventListener("visibilitychange", () => document.hidden && this.release(), { signal });
    surface.addEventListener("pointerdown", (event) => this.#pointerDown(event), { signal });
    surface.addEventListener("pointermove", (event) => this.#pointerMove(event), { signal });
    for (const end of ["pointerup", "pointercancel"] as const) {
      surface.addEventListener(end, (event) => this.#pointerEnd(event), { signal });
    }
  }

  dispose(): void {
    this.release();
    this.#abort.abort();
  }

  /** Lets go of everything. */
  release(): void {
    this.#down = [];
    this.#drags.clear();
    for (const side of this.#actions.sides()) this.#actions.hold(side, 0);
  }

  /** Once per frame: paddles go on towards the fingers that drag them. */
  follow(): void {
    for (const { side, targetU } of this.#drags.values()) {
      const y = this.#actions.paddleY(side);
      if (y === null) continue;
      const away = targetU - y;
      this.#actions.hold(side, Math.abs(away) < DEAD_U ? 0 : away < 0 ? -1 : 1);
    }
  }

  #keyDown(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.code === "KeyP" || event.code === "Escape") {
      if (!event.repeat) this.#actions.pause();
      return;
    }
    const role = KEYS[event.code];
    const side = role && this.#sideOf(role.hand);
    if (role === undefined || side === undefined) return;
    // Enter and Space on a button are the button's.
    if (role.kind === "press" && event.target instanceof HTMLElement && event.target.closest("button, a")) return;
    event.preventDefault();
    if (event.repeat) return;
    if (role.kind === "press") {
      this.#actions.press(side);
      return;
    }
    this.#down = [...this.#down.filter((code) => code !== event.code), event.code];
    this.#steer(side);
  }

  #keyUp(event: KeyboardEvent): void {
    if (!this.#down.includes(event.code)) return;
    this.#down = this.#down.filter((code) => code !== event.code);
    const side = this.#sideOf(KEYS[event.code]!.hand);
    if (side !== undefined) this.#steer(side);
  }

  /** The key pressed last decides. */
  #steer(side: SideIndex): void {
    let dir: Dir = 0;
    for (const code of this.#down) {
      const role = KEYS[code];
      if (role?.kind === "move" && this.#sideOf(role.hand) === side) dir = role.dir;
    }
    this.#actions.hold(side, dir);
  }

  #sideOf(hand: SideIndex): SideIndex | undefined {
    const sides = this.#actions.sides();
    return sides.length === 2 ? hand : sides[0];
  }

  #pointerDown(event: PointerEvent): void {
    if (event.pointerType === "mouse" || (event.target as HTMLElement).closest("button, a, input")) return;
    const sides = this.#actions.sides();
    const box = this.#surface.getBoundingClientRect();
    const half: SideIndex = event.clientX < box.left + box.width / 2 ? 0 : 1;
    const side = sides.length === 2 ? half : sides[0];
    const y = side === undefined ? null : this.#actions.paddleY(side);
    if (side === undefined || y === null) return;
    event.preventDefault();
    this.#surface.setPointerCapture(event.pointerId);
    // A second finger on the same paddle is its skill.
    if ([...this.#drags.values()].some((drag) => drag.side === side)) this.#actions.press(side);
    else this.#drags.set(event.pointerId, { side, fromPx: event.clientY, fromU: y, targetU: y });
  }

  #pointerMove(event: PointerEvent): void {
    const drag = this.#drags.get(event.pointerId);
    if (drag === undefined) return;
    const gain = Math.min(GAIN_MAX, HEIGHT / Math.max(1, this.#actions.fieldHeightPx()));
    drag.targetU = Math.min(HEIGHT, Math.max(0, drag.fromU + (event.clientY - drag.fromPx) * gain));
  }

  #pointerEnd(event: PointerEvent): void {
    const drag = this.#drags.get(event.pointerId);
    if (drag === undefined) return;
    this.#drags.delete(event.pointerId);
    this.#actions.hold(drag.side, 0);
  }
}

/** A button that was clicked does not keep the keys: Space is the skill again. */
function letGo(event: MouseEvent): void {
  const { activeElement } = document;
  if (event.detail > 0 && activeElement instanceof HTMLButtonElement) activeElement.blur();
}

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select") !== null;
}
