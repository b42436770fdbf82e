// What stands beside name and password: other sites by which one can sign in, and the way back for who has forgotten
// the password.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Refused, type SignInSite, forgot, leaveFor, own, recover, signInSites } from "rally-sdk";

import { enter, explainError, session } from "../app.ts";

/** What went wrong at another site, by the code with which the browser was sent back. */
const FAILURES: Record<string, string> = {
  unauthenticated: "The other site did not say who you are. Try again.",
  forbidden: "That did not happen: the other site said no, or what it knows belongs to another account here.",
  unavailable: "The other site does not answer just now.",
  username_taken: "No name like yours is free.",
};

export function OtherSites() {
  const sites = useSignal<SignInSite[]>([]);
  const code = new URLSearchParams(location.search).get("failed");
  const wrong = useSignal<string | null>(code === null ? null : (FAILURES[code] ?? "That did not work."));
  useEffect(() => {
    // Without them there is still the password.
    signInSites().then(
      (found) => (sites.value = found.items),
      () => {},
    );
  }, []);

  const leave = async (site: string) => {
    try {
      const guest = session.user?.guest === true ? await session.fresh() : undefined;
      location.assign((await leaveFor(site, guest)).url);
    } catch (error) {
      wrong.value = explainError(error);
    }
  };

  return (
    <>
      {wrong.value !== null && (
        <p class="notice bad" role="alert">
          {wrong.value}
        </p>
      )}
      {sites.value.map((site) => (
        <button type="button" key={site.name} onClick={() => void leave(site.name)}>
          Sign in with {site.label}
        </button>
      ))}
    </>
  );
}

/** The last step of who comes back from another site and has a second factor. */
export function Arrival() {
  const code = useSignal("");
  const wrong = useSignal<string | null>(null);
  const confirm = async () => {
    try {
      await enter(own.confirmArrival(code.value));
      history.replaceState(null, "", "/account");
    } catch (error) {
      wrong.value = error instanceof Refused && error.code === "unauthenticated" ? error.message : explainError(error);
    }
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void confirm();
      }}
    >
      <p>The other site has said who you are.</p>
      <div class="field-row">
        <label for="arrival">Code of your authenticator</label>
        <input
          id="arrival"
          type="text"
          autocomplete="one-time-code"
          maxLength={32}
          value={code.value}
          onInput={(event) => {
            code.value = event.currentTarget.value.trim();
          }}
        />
      </div>
      {wrong.value !== null && (
        <p class="notice bad" role="alert">
          {wrong.value}
        </p>
      )}
      <button type="submit" class="primary">
        Enter
      </button>
      <a href="/account">Begin again</a>
    </form>
  );
}

export function Forgotten({ username }: { username: string }) {
  const open = useSignal(false);
  const code = useSignal("");
  const password = useSignal("");
  const said = useSignal<string | null>(null);

  const act = async (what: () => Promise<string | null>) => {
    try {
      said.value = await what();
    } catch (error) {
      said.value = error instanceof Refused ? error.message : explainError(error);
    }
  };
  const letter = () =>
    act(async () => {
      await forgot(username);
      return "If that account has an address, a letter with a code is on its way.";
    });
  const set = () =>
    act(async () => {
      await enter(recover(username, code.value, password.value));
      return null;
    });

  if (!open.value) {
    return (
      <button type="button" class="quiet" onClick={() => (open.value = true)}>
        Forgotten the password?
      </button>
    );
  }
  return (
    <>
      <p class="hint">
        With the code that was shown when you signed up, one from an operator, or one from a letter you can set another
        password. Say your name above.
      </p>
      <button type="button" onClick={() => void letter()}>
        Send me a letter
      </button>
      <div class="field-row">
        <label for="recovery">Code</label>
        <input
          id="recovery"
          type="text"
          autocomplete="off"
          value={code.value}
          onInput={(event) => {
            code.value = event.currentTarget.value;
          }}
        />
      </div>
      <div class="field-row">
        <label for="new-password">New password</label>
        <input
          id="new-password"
          type="password"
          autocomplete="new-password"
          value={password.value}
          onInput={(event) => {
            password.value = event.currentTarget.value;
          }}
        />
      </div>
      {said.value !== null && (
        <p class="notice" role="status">
          {said.value}
        </p>
      )}
      <button type="button" onClick={() => void set()}>
        Set it
      </button>
    </>
  );
}
