// Below a replay: where it stands, and what moves it. Space stops it and lets it go on, arrows leap five seconds.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { tickOf, type Match, type Replay } from "../game/match.ts";

const TICK_HZ = 60;
const LEAP_TICKS = 5 * TICK_HZ;
const SPEEDS_PERCENT = [25, 50, 100, 200, 400, 800];
const SHOWN_EVERY_MS = 100;
/** Seeks while the knob is dragged: fewer than a connection may send. */
const SEEK_EVERY_MS = 300;

export function ReplayBar({ match, replay }: { match: Match; replay: Replay }) {
  const nowMs = useSignal(performance.now());
  const speed = useSignal(100);
  const dragged = useSignal<{ tick: number; sentMs: number } | null>(null);
  useEffect(() => {
    const timer = setInterval(() => {
      nowMs.value = performance.now();
    }, SHOWN_EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  // What it goes on with, once it stands.
  if (replay.speedPercent !== 0 && replay.speedPercent !== speed.value) speed.value = replay.speedPercent;

  const tick = dragged.value?.tick ?? Math.round(tickOf(replay, Math.max(nowMs.value, replay.atMs)));
  const ended = tick >= replay.ticks;
  const stands = replay.speedPercent === 0 || ended;
  const seek = (to: number) => match.direct(Math.min(Math.max(Math.round(to), 0), replay.ticks), null);
  const toggle = () => match.direct(ended ? 0 : null, stands ? speed.value : 0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const at = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA|BUTTON)$/.test(at.tagName)) return;
      if (event.code === "Space") toggle();
      else if (event.code === "ArrowLeft") seek(tick - LEAP_TICKS);
      else if (event.code === "ArrowRight") seek(tick + LEAP_TICKS);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });

  return (
    <div class="replay">
      <button type="button" class="quiet" onClick={toggle}>
        {ended ? "Again" : stands ? "Play" : "Stop"}
      </button>
      <input
        type="range"
        aria-label="Where the replay stands"
        aria-valuetext={time(tick)}
        min={0}
        max={replay.ticks}
        step={1}
        value={tick}
        onInput={(event) => {
          const to = event.currentTarget.valueAsNumber;
          const now = performance.now();
          const due = dragged.value === null || now - dragged.value.sentMs >= SEEK_EVERY_MS;
          if (due) seek(to);
          dragged.value = { tick: to, sentMs: due ? now : dragged.value!.sentMs };
        }}
        onChange={(event) => {
          seek(event.currentTarget.valueAsNumber);
          dragged.value = null;
        }}
      />
      <span class="at">
        {time(tick)} / {time(replay.ticks)}
      </span>
      <select
        aria-label="Speed"
        value={speed.value}
        onChange={(event) => {
          speed.value = Number(event.currentTarget.value);
          if (!stands) match.direct(null, speed.value);
        }}
      >
        {SPEEDS_PERCENT.map((percent) => (
          <option key={percent} value={percent}>
            {percent / 100}×
          </option>
        ))}
      </select>
    </div>
  );
}

function time(ticks: number): string {
  const seconds = Math.floor(ticks / TICK_HZ);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
