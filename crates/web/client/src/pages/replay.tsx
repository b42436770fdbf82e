// A finished match, shown again. No name is asked for.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { explainError, newReplay, signInToWatch } from "../app.ts";
import { tickOf, type Match } from "../game/match.ts";
import { isId, type Id } from "rally-sdk";
import { go } from "../router.ts";
import { MatchScreen } from "../ui/match-screen.tsx";
import { NoSuchMatch } from "./play.tsx";

/** Of one showing after another that is gone before anything was seen of it. */
const ATTEMPTS_MAX = 3;

export default function ReplayPage({ match }: { match: string }) {
  const showing = useSignal<Id | null>(null);
  const failure = useSignal<string | null>(null);
  const attempts = useSignal(0);

  const open = async (from: number | null) => {
    failure.value = null;
    attempts.value++;
    try {
      await signInToWatch();
      showing.value = await newReplay(match.toLowerCase(), from);
    } catch (error) {
      showing.value = null;
      failure.value = explainError(error);
    }
  };
  // Its worker has gone: another goes on with it where it was.
  const onGone = (gone: Match) => {
    if (gone.id !== showing.value) return;
    const { replay } = gone.ui.value;
    if (replay !== null) attempts.value = 0;
    if (attempts.value < ATTEMPTS_MAX) void open(replay === null ? null : Math.floor(tickOf(replay, replay.atMs)));
    else failure.value = "The replay cannot be shown just now.";
  };
  useEffect(() => {
    if (isId(match)) void open(null);
  }, [match]);

  if (!isId(match)) return <NoSuchMatch />;
  if (showing.value !== null && failure.value === null) {
    return <MatchScreen key={showing.value} id={showing.value} as="spectator" onGone={onGone} />;
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
              attempts.value = 0;
              void open(null);
            }}
          >
            Try again
          </button>
          <button type="button" onClick={() => go(`/match/${match}`)}>
            About this match
          </button>
        </>
      )}
    </main>
  );
}
