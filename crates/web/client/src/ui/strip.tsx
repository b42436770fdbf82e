// Below the field: one's own link in figures, the keys, and what one may do.

import { useSignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import type { Match } from "../game/match.ts";
import { go } from "../router.ts";
import * as settings from "../settings.ts";
import { CopyLink } from "./copy-link.tsx";
import type { Hud } from "./match-screen.tsx";
import { ReplayBar } from "./replay-bar.tsx";

export function Strip({ match, hud }: { match: Match; hud: Signal<Hud> }) {
  const ui = match.ui.value;
  const plays = ui.joined && ui.place !== "spectator" && ui.over === null;
  return (
    <footer class="strip">
      <Figures hud={hud} />
      {ui.replay !== null && <ReplayBar match={match} replay={ui.replay} />}
      {ui.note !== null ? (
        <Note key={ui.note.atMs} text={ui.note.text} />
      ) : (
        <p class="keys">{plays && KEYS[ui.place === "both" ? "both" : "one"]}</p>
      )}
      <nav>
        <SoundSwitch />
        {ui.replay !== null ? (
          <CopyLink path={`/replay/${ui.replay.of}`} label="Replay link" />
        ) : (
          !ui.private && ui.joined && <CopyLink path={`/watch/${match.id}`} label="Watch link" />
        )}
        {plays && (ui.phase === "playing" || ui.phase === "paused") && (
          <button type="button" class="quiet" onClick={() => match.pause()}>
            {ui.phase === "paused" ? "Resume" : "Pause"}
          </button>
        )}
        {plays && ui.phase !== "waiting" ? (
          <Forfeit match={match} />
        ) : (
          <button type="button" class="quiet" onClick={() => go(ui.replay === null ? "/" : `/match/${ui.replay.of}`)}>
            Leave
          </button>
        )}
      </nav>
    </footer>
  );
}

/** A refusal; it goes by itself. */
function Note({ text }: { text: string }) {
  const gone = useSignal(false);
  useEffect(() => {
    const timer = setTimeout(() => {
      gone.value = true;
    }, 4000);
    return () => clearTimeout(timer);
  }, []);
  return (
    <p class="note" role="status">
      {!gone.value && text}
    </p>
  );
}

const KEYS = {
  one: (
    <>
      <kbd>W</kbd>
      <kbd>S</kbd> or <kbd>↑</kbd>
      <kbd>↓</kbd> move · <kbd>Space</kbd> skill · <kbd>P</kbd> pause
    </>
  ),
  both: (
    <>
      <kbd>W</kbd>
      <kbd>S</kbd>
      <kbd>Space</kbd> left · <kbd>↑</kbd>
      <kbd>↓</kbd>
      <kbd>Enter</kbd> right · <kbd>P</kbd> pause
    </>
  ),
};

function Figures({ hud }: { hud: Signal<Hud> }) {
  const { rttMs, jitterMs, gapMs } = hud.value;
  const bad = (rttMs ?? 0) > 120 || gapMs > 150;
  return (
    <p class={bad ? "figures bad" : "figures"} title="The way to the server and back; how unevenly its pictures come; the longest wait for one in the last second">
      <span>
        ping <b>{rttMs === null ? "–" : rttMs < 10 ? rttMs.toFixed(1) : rttMs.toFixed(0)}</b> ms
      </span>
      <span>
        jitter <b>{jitterMs.toFixed(1)}</b> ms
      </span>
      <span>
        gap <b>{gapMs.toFixed(0)}</b> ms
      </span>
    </p>
  );
}

export function SoundSwitch() {
  const on = settings.sound.value;
  return (
    <button
      type="button"
      class="quiet"
      aria-pressed={on}
      onClick={() => {
        settings.sound.value = !on;
      }}
    >
      {on ? "Sound on" : "Sound off"}
    </button>
  );
}

/** Asks once more before it gives the match away. */
function Forfeit({ match }: { match: Match }) {
  const asked = useSignal(false);
  useEffect(() => {
    if (!asked.value) return;
    const timer = setTimeout(() => {
      asked.value = false;
    }, 3000);
    return () => clearTimeout(timer);
  }, [asked.value]);
  return (
    <button
      type="button"
      class={asked.value ? "quiet danger" : "quiet"}
      onClick={() => {
        if (asked.value) match.forfeit();
        asked.value = !asked.value;
      }}
    >
      {asked.value ? "Really give up?" : "Give up"}
    </button>
  );
}
