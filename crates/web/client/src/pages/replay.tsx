// A finished match, shown again. No name is asked for. Where the worker that shows it goes, another goes on with it from
// the same moment, at the same speed.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { explainError, newReplay, signInToWatch } from "../app.ts";
import { tickOf, type Match, type Replay } from "../game/match.ts";
import { Refused, isId, type Id } from "rally-sdk";
import { go } from "../router.ts";
import { MatchScreen } from "../ui/match-screen.tsx";
import { NoSuchMatch } from "./play.tsx";

const RETRY_MS = 500;
/** Attempts in a row, each after twice the pause of the one before: 15 s in all. */
const ATTEMPTS_MAX = 5;
/** One that was watched for longer was not in vain. */
const WATCHED_MS_MIN = 10_000;
const PASSING = ["at_capacity", "unavailable", "rate_limited"];

interface Shown {
  id: Id;
  sinceMs: number;
  /** How fast it went before. */
  speedPercent: number | null;
}

export default function ReplayPage({ match }: { match: string }) {
  const shown = useSignal<Shown | null>(null);
  const failure = useSignal<string | null>(null);
  // What goes on behind the screen: the last attempt, and where it stood.
  const life = useRef({ attempt: 0, inARow: 0, isOpening: false, last: null as Replay | null });

  const open = async () => {
    const mine = ++life.current.attempt;
    const isMine = () => life.current.attempt === mine;
    life.current.isOpening = true;
    failure.value = null;
    while (isMine()) {
      const { last } = life.current;
      try {
        await signInToWatch();
        const id = await newReplay(match.toLowerCase(), last === null ? null : Math.floor(tickOf(last, last.atMs)));
        if (isMine()) shown.value = { id, sinceMs: performance.now(), speedPercent: last?.speedPercent ?? null };
        break;
      } catch (error) {
        const passes = error instanceof Refused && PASSING.includes(error.code);
        if (!isMine()) return;
        if (passes && ++life.current.inARow < ATTEMPTS_MAX) {
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS * 2 ** life.current.inARow));
        } else {
          shown.value = null;
          failure.value = error instanceof Refused && error.code === "not_found" ? NOT_SHOWN : explainError(error);
          break;
        }
      }
    }
    if (isMine()) life.current.isOpening = false;
  };

  const onGone = (gone: Match) => {
    if (gone.id !== shown.value?.id || life.current.isOpening) return;
    const { replay } = gone.ui.value;
    life.current.last = replay ?? life.current.last;
    if (performance.now() - shown.value.sinceMs > WATCHED_MS_MIN) life.current.inARow = 0;
    const stands = replay !== null && (replay.speedPercent === 0 || replay.tick >= replay.ticks);
    if (stands && gone.ui.value.refusal !== null) {
      // Put away because nobody looked: whoever looks again says so.
      shown.value = null;
      failure.value = "The replay stood still for long, and was put away.";
    } else if (life.current.inARow++ < ATTEMPTS_MAX) {
      void open();
    } else {
      shown.value = null;
      failure.value = "The replay cannot be shown just now.";
    }
  };

  useEffect(() => {
    life.current = { attempt: life.current.attempt, inARow: 0, isOpening: false, last: null };
    shown.value = null;
    if (isId(match)) void open();
    return () => {
      life.current.attempt++;
    };
  }, [match]);

  if (!isId(match)) return <NoSuchMatch />;
  if (shown.value !== null) {
    const { id, speedPercent } = shown.value;
    return <MatchScreen key={id} id={id} as="spectator" onGone={onGone} speedPercent={speedPercent} />;
  }
  return (
    <main class="lone">
      <p role="status">{failure.value ?? "Fetching the replay…"}</p>
      {failure.value !== null && (
        <>
          <button
            type="button"
            class="primary"
            onClick={() => {
              life.current.inARow = 0;
              void open();
            }}
          >
            {life.current.last === null ? "Try again" : "Go on"}
          </button>
          <button type="button" onClick={() => go(`/match/${match}`)}>
            About this match
          </button>
        </>
      )}
    </main>
  );
}

const NOT_SHOWN = "There is no replay of this match, or it was played by other rules.";
