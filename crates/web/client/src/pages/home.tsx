// Home: who one is, and all ways into a match.

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";

import { again, dequeue, enqueue, explainError, newMatch, queue, seat, session, signIn, state, trouble, user } from "../app.ts";
import { type Level, type Mode, type NewMatch } from "rally-sdk";
import { go, matchIn } from "../router.ts";
import * as settings from "../settings.ts";
import { Chat } from "../ui/chat.tsx";
import { Choice } from "../ui/choice.tsx";
import { Live } from "../ui/live.tsx";
import { Places } from "../ui/places.tsx";
import { NAME, NameField, SkillChoice } from "../ui/who.tsx";
import { Wordmark } from "../ui/wordmark.tsx";

const QUEUES: { value: Mode; label: string }[] = [
  { value: "casual", label: "Casual" },
  { value: "classic", label: "Classic" },
  { value: "ranked", label: "Ranked" },
];
const ABOUT_QUEUE: Partial<Record<Mode, string>> = {
  casual: "Skills and power-ups. Nothing is at stake.",
  classic: "Two paddles and a ball, as it was.",
  ranked: "Skills and power-ups, for rating.",
};
const LEVELS: { value: Level; label: string }[] = [
  { value: "easy", label: "Easy" },
  { value: "normal", label: "Normal" },
  { value: "hard", label: "Hard" },
];

export default function Home() {
  const name = useSignal(user.value?.name ?? settings.name.value);
  const wrongName = useSignal(false);
  const busy = useSignal(false);
  const waiting = useComputed(() => queue.value !== null);
  const isAccount = useComputed(() => user.value !== null && !user.value.guest);

  useSignalEffect(() => {
    if (NAME.test(name.value)) wrongName.value = false;
  });

  /** Signs in, then does it; says what went wrong. */
  const act = async (what: () => Promise<void> | void) => {
    trouble.value = null;
    if (!isAccount.value && !NAME.test(name.value)) {
      wrongName.value = true;
      document.getElementById("name")?.focus();
      return;
    }
    busy.value = true;
    try {
      await signIn(name.value);
      await what();
    } catch (error) {
      trouble.value = explainError(error);
      if (session.user === null) user.value = null;
    } finally {
      busy.value = false;
    }
  };
  const create = (match: NewMatch) =>
    act(async () => go(`/play/${await newMatch(match)}`));
  const play = () => act(() => enqueue(settings.queueMode.value, settings.skill.value));

  return (
    <>
      <Attract />
      <main class="home">
        <header class="brand">
          <Wordmark />
          <p>Two paddles, one ball, first to eleven.</p>
        </header>
        <div class="panel">
          <Places />
          <Notices />
          {waiting.value ? (
            <Waiting />
          ) : (
            <form
              onSubmit={(event) => {
                event.preventDefault();
                void play();
              }}
            >
              {!isAccount.value && (
                <NameField
                  value={name.value}
                  wrong={wrongName.value}
                  onInput={(value) => {
                    name.value = value;
                  }}
                />
              )}
              <SkillChoice />
              <section class="quick">
                <Choice
                  name="queue"
                  legend="Play somebody"
                  options={QUEUES}
                  value={settings.queueMode.value}
                  onChange={(value) => {
                    settings.queueMode.value = value;
                  }}
                />
                <p class="hint">{ABOUT_QUEUE[settings.queueMode.value]}</p>
                <button type="submit" class="primary big" disabled={busy.value}>
                  Play
                </button>
              </section>
              <Others busy={busy.value} create={create} />
            </form>
          )}
          <WatchByLink />
          <Live />
          <Chat channel="global" />
        </div>
      </main>
    </>
  );
}

function Notices() {
  const stopped = state.value.kind === "stopped" ? state.value.reason : null;
  return (
    <div class="notices" role="alert">
      {trouble.value !== null && <p class="notice bad">{trouble.value}</p>}
      {seat.value !== null && (
        <p class="notice">
          Your match goes on.
          <button type="button" class="primary" onClick={() => go(`/play/${seat.value}`)}>
            Return
          </button>
        </p>
      )}
      {user.value !== null && (stopped === "unauthenticated" || stopped === "seat_taken") && (
        <p class="notice bad">
          {stopped === "seat_taken" ? "You went on in another tab." : "Your session has ended."}
          <button type="button" onClick={() => void again().catch(() => {})}>
            Continue here
          </button>
        </p>
      )}
      {state.value.kind === "waiting" && <p class="notice">The connection is lost. Trying again…</p>}
    </div>
  );
}

function Others({ busy, create }: { busy: boolean; create: (match: NewMatch) => Promise<void> }) {
  const { skill, classic } = settings;
  return (
    <section class="others">
      <div class="other">
        <h2>Play the bot</h2>
        <div class="row">
          {LEVELS.map(({ value, label }) => (
            <button
              key={value}
              type="button"
              disabled={busy}
              onClick={() => create({ mode: "practice", level: value, skill: skill.value, classic: classic.value })}
            >
              {label}
            </button>
          ))}
        </div>
      </div>
      <div class="other">
        <h2>Play a friend</h2>
        <div class="row">
          <button
            type="button"
            disabled={busy}
            onClick={() => create({ mode: "local", skill: skill.value, classic: classic.value })}
          >
            Two at one keyboard
          </button>
          <button
            type="button"
            disabled={busy}
            onClick={() => create({ mode: "private", skill: skill.value, classic: classic.value })}
          >
            Invite by link
          </button>
        </div>
      </div>
      <label class="check">
        <input
          type="checkbox"
          checked={classic.value}
          onChange={(event) => {
            classic.value = event.currentTarget.checked;
          }}
        />
        <span>Classic rules here: no skills, no power-ups</span>
      </label>
    </section>
  );
}

function Waiting() {
  const [seconds, setSeconds] = useState(0);
  const { mode, sinceMs, waitS } = queue.value!;
  useEffect(() => {
    const update = () => setSeconds(Math.floor((performance.now() - sinceMs) / 1000));
    update();
    const timer = setInterval(update, 250);
    return () => clearInterval(timer);
  }, [sinceMs]);
  return (
    <section class="waiting" aria-live="polite">
      <div class="volley" aria-hidden="true">
        <i />
        <i />
        <i />
      </div>
      <h2>Looking for an opponent</h2>
      <p>
        <b class="capital">{mode}</b>
        {waitS !== null && ` · about ${waitS} s`}
      </p>
      <p class="clock" aria-hidden="true">
        {Math.floor(seconds / 60)}:{String(seconds % 60).padStart(2, "0")}
      </p>
      <button type="button" onClick={dequeue}>
        Cancel
      </button>
    </section>
  );
}

function WatchByLink() {
  const text = useSignal("");
  const wrong = useSignal(false);
  return (
    <form
      class="watch"
      onSubmit={(event) => {
        event.preventDefault();
        const match = matchIn(text.value);
        wrong.value = match === null;
        if (match !== null) go(`/watch/${match}`);
      }}
    >
      <label for="watch">Watch a match</label>
      <div class="row">
        <input
          id="watch"
          type="text"
          autocomplete="off"
          spellcheck={false}
          placeholder="Paste its link"
          value={text.value}
          aria-invalid={wrong.value}
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
        />
        <button type="submit">Watch</button>
      </div>
      {wrong.value && <p class="hint wrong">That is no link to a match.</p>}
    </form>
  );
}

/** A match that plays itself in the background; loaded after the page stands. */
function Attract() {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    let stop: (() => void) | null = null;
    let gone = false;
    void import("../game/attract.ts").then(({ attract }) => {
      if (!gone && canvas.current !== null) stop = attract(canvas.current);
    });
    return () => {
      gone = true;
      stop?.();
    };
  }, []);
  return (
    <div class="attract" aria-hidden="true">
      <canvas ref={canvas} />
    </div>
  );
}
