// Below a replay: where it stands, and what moves it. Space stops it and lets it go on, arrows leap five seconds.
//
// However it is moved, so many seeks go out and no more, the last of them always; until that one is answered the bar shows
// where it will be.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { tickOf, type Match, type Replay } from "../game/match.ts";

const TICK_HZ = 60;
const LEAP_TICKS = 5 * TICK_HZ;
const SPEEDS_PERCENT = [25, 50, 100, 200, 400, 800];
const SHOWN_EVERY_MS = 100;
/** Fewer seeks than a connection may send wishes, which are five a second. */
const SEEK_EVERY_MS = 300;

export function ReplayBar({ match, replay }: { match: Match; replay: Replay }) {
  const nowMs = useSignal(performance.now());
  const speed = useRef(100);
  const { wanted, seek } = useSeek(match, replay);
  useEffect(() => {
    const timer = setInterval(() => {
      nowMs.value = performance.now();
    }, SHOWN_EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  // What it goes on with, once it stands.
  if (replay.speedPercent !== 0) speed.current = replay.speedPercent;

  const tick = wanted ?? Math.round(tickOf(replay, Math.max(nowMs.value, replay.atMs)));
  const ended = tick >= replay.ticks;
  const stands = replay.speedPercent === 0 || ended;
  const toggle = () => {
    if (ended) seek(0);
    if (!ended || replay.speedPercent === 0) match.direct(null, stands ? speed.current : 0);
  };
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const at = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA|BUTTON)$/.test(at.tagName)) return;
      if (event.code === "Space") {
        if (!event.repeat) toggle();
      } else if (event.code === "ArrowLeft") seek(tick - LEAP_TICKS);
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
        step={TICK_HZ / 2}
        value={tick}
        onInput={(event) => seek(event.currentTarget.valueAsNumber)}
        onPointerUp={(event) => event.currentTarget.blur()}
      />
      <span class="at">
        {time(tick)} / {time(replay.ticks)}
      </span>
      <select
        aria-label="Speed"
        value={speed.current}
        onChange={(event) => {
          speed.current = Number(event.currentTarget.value);
          if (!stands) match.direct(null, speed.current);
          event.currentTarget.blur();
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

/** Where one wants to be, until it is known that one is there; and how to want it. */
function useSeek(match: Match, replay: Replay): { wanted: number | null; seek: (to: number) => void } {
  const wanted = useSignal<number | null>(null);
  const paced = useRef({ sentMs: -Infinity, sent: null as number | null, timer: undefined as number | undefined });
  const send = () => {
    const now = paced.current;
    now.timer = undefined;
    if (wanted.value === null || wanted.value === now.sent) return;
    [now.sentMs, now.sent] = [performance.now(), wanted.value];
    match.direct(wanted.value, null);
  };
  const seek = (to: number) => {
    wanted.value = Math.min(Math.max(Math.round(to), 0), replay.ticks);
    paced.current.sent = null;
    paced.current.timer ??= window.setTimeout(send, paced.current.sentMs + SEEK_EVERY_MS - performance.now());
  };
  // The answer to the last that was sent. It may have gone on a little since.
  useEffect(() => {
    const { sent, timer } = paced.current;
    if (sent !== null && timer === undefined && Math.abs(replay.tick - sent) <= TICK_HZ) wanted.value = null;
  }, [replay]);
  useEffect(() => () => clearTimeout(paced.current.timer), []);
  return { wanted: wanted.value, seek };
}

function time(ticks: number): string {
  const seconds = Math.floor(ticks / TICK_HZ);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
