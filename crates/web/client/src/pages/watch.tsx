// Somebody else's match. No name is asked for.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { explainError, signInToWatch, user } from "../app.ts";
import { isId } from "rally-sdk";
import { MatchScreen } from "../ui/match-screen.tsx";
import { NoSuchMatch } from "./play.tsx";

export default function Watch({ match }: { match: string }) {
  const failure = useSignal<string | null>(null);
  const attempt = useSignal(0);
  const signedIn = user.value !== null;
  useEffect(() => {
    if (signedIn) return;
    failure.value = null;
    signInToWatch().catch((error: unknown) => {
      failure.value = explainError(error);
    });
  }, [signedIn, attempt.value]);

  if (!isId(match)) return <NoSuchMatch />;
  if (signedIn) return <MatchScreen id={match.toLowerCase()} as="spectator" />;
  return (
    <main class="lone">
      <p role="status">{failure.value ?? "Finding a seat in the stands…"}</p>
      {failure.value !== null && (
        <button
          type="button"
          class="primary"
          onClick={() => {
            attempt.value++;
          }}
        >
          Try again
        </button>
      )}
    </main>
  );
}
