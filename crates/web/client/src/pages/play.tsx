// One's own match. Whoever comes by a link gives a name first.

import { useSignal } from "@preact/signals";

import { explainError, signIn, user } from "../app.ts";
import { isId } from "rally-sdk";
import { go } from "../router.ts";
import * as settings from "../settings.ts";
import { MatchScreen } from "../ui/match-screen.tsx";
import { NAME, NameField, SkillChoice } from "../ui/who.tsx";
import { Wordmark } from "../ui/wordmark.tsx";

export default function Play({ match }: { match: string }) {
  if (!isId(match)) return <NoSuchMatch />;
  if (user.value === null) return <Introduce />;
  return <MatchScreen id={match.toLowerCase()} as="player" />;
}

export function NoSuchMatch() {
  return (
    <main class="lone">
      <h1>There is no such match</h1>
      <p>The link is not whole.</p>
      <button type="button" class="primary" onClick={() => go("/")}>
        Home
      </button>
    </main>
  );
}

function Introduce() {
  const name = useSignal(settings.name.value);
  const wrong = useSignal(false);
  const failure = useSignal<string | null>(null);
  const enter = async () => {
    wrong.value = !NAME.test(name.value);
    if (wrong.value) return;
    try {
      await signIn(name.value);
    } catch (error) {
      failure.value = explainError(error);
    }
  };
  return (
    <main class="lone">
      <Wordmark />
      <h1>You are invited to a match</h1>
      <form
        class="panel"
        onSubmit={(event) => {
          event.preventDefault();
          void enter();
        }}
      >
        <div role="alert">{failure.value !== null && <p class="notice bad">{failure.value}</p>}</div>
        <NameField
          value={name.value}
          wrong={wrong.value}
          onInput={(value) => {
            name.value = value;
          }}
        />
        <SkillChoice />
        <button type="submit" class="primary big">
          Play
        </button>
      </form>
    </main>
  );
}
