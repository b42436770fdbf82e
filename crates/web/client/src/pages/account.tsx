// Signing in and up, and what one is then: rating, history, friends.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { explainError, logIn, logOut, presence, register, session, user } from "../app.ts";
import {
  befriend,
  friendRequests,
  friends,
  type FriendView,
  type Id,
  Refused,
  searchUsers,
  statsOf,
  type UserInfo,
  type UserStats,
} from "rally-sdk";
import { invite, sent } from "../duels.ts";
import { Choice } from "../ui/choice.tsx";
import { Curve } from "../ui/curve.tsx";
import { History } from "../ui/history.tsx";
import { Arrival, Forgotten, OtherSites } from "../ui/other-ways.tsx";
import { Person } from "../ui/person.tsx";
import { Places } from "../ui/places.tsx";
import { Privacy } from "../ui/privacy.tsx";
import { SigningIn } from "../ui/signing-in.tsx";
import { NAME } from "../ui/who.tsx";

export default function Account() {
  const recovery = useSignal<string | null>(null);
  const who = user.value;
  return (
    <main class="sheet">
      <div class="panel">
        <Places />
        {recovery.value !== null && (
          <div class="notice" role="alert">
            <p>
              Write this down: it stands in for a forgotten password, and is shown only now.
              <br />
              <code class="recovery">{recovery.value}</code>
            </p>
            <button
              type="button"
              onClick={() => {
                recovery.value = null;
              }}
            >
              Done
            </button>
          </div>
        )}
        {who === null || who.guest ? (
          <Entrance
            guest={who}
            onCode={(code) => {
              recovery.value = code;
            }}
          />
        ) : (
          <Profile who={who} />
        )}
      </div>
    </main>
  );
}

const WAYS: { value: "in" | "up"; label: string }[] = [
  { value: "in", label: "Sign in" },
  { value: "up", label: "Sign up" },
];

function Entrance({ guest, onCode }: { guest: UserInfo | null; onCode: (code: string) => void }) {
  const way = useSignal<"in" | "up">("in");
  const username = useSignal(guest?.name ?? "");
  const password = useSignal("");
  const totp = useSignal("");
  const asksTotp = useSignal(false);
  const wrong = useSignal<string | null>(null);
  const busy = useSignal(false);

  const enter = async () => {
    wrong.value = null;
    if (!NAME.test(username.value)) {
      wrong.value = "A name has 3 to 20 letters, digits or _.";
      return;
    }
    busy.value = true;
    try {
      const credentials = { username: username.value, password: password.value };
      if (way.value === "up") onCode(await register(credentials));
      else await logIn(asksTotp.value ? { ...credentials, totp: totp.value } : credentials);
    } catch (error) {
      if (error instanceof Refused && error.code === "totp_required") asksTotp.value = true;
      const own = error instanceof Refused && ["invalid_input", "unauthenticated"].includes(error.code);
      wrong.value = own ? (error as Refused).message : explainError(error);
    } finally {
      busy.value = false;
    }
  };

  if (new URLSearchParams(location.search).has("code_for")) return <Arrival />;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void enter();
      }}
    >
      <Choice
        name="way"
        legend="Account"
        options={WAYS}
        value={way.value}
        onChange={(value) => {
          [way.value, wrong.value] = [value, null];
        }}
      />
      {way.value === "up" && guest !== null && <p class="hint">You keep what you have played as {guest.name}.</p>}
      <div class="field-row">
        <label for="username">Name</label>
        <input
          id="username"
          type="text"
          autocomplete="username"
          autocapitalize="off"
          spellcheck={false}
          maxLength={20}
          value={username.value}
          onInput={(event) => {
            username.value = event.currentTarget.value.trim();
          }}
        />
      </div>
      <div class="field-row">
        <label for="password">Password</label>
        <input
          id="password"
          type="password"
          autocomplete={way.value === "up" ? "new-password" : "current-password"}
          value={password.value}
          onInput={(event) => {
            password.value = event.currentTarget.value;
          }}
        />
      </div>
      {asksTotp.value && way.value === "in" && (
        <div class="field-row">
          <label for="totp">Code of your authenticator</label>
          <input
            id="totp"
            type="text"
            inputMode="numeric"
            autocomplete="one-time-code"
            maxLength={32}
            value={totp.value}
            onInput={(event) => {
              totp.value = event.currentTarget.value.trim();
            }}
          />
        </div>
      )}
      {wrong.value !== null && (
        <p class="notice bad" role="alert">
          {wrong.value}
        </p>
      )}
      <button type="submit" class="primary" disabled={busy.value}>
        {way.value === "up" ? "Create account" : "Enter"}
      </button>
      {way.value === "in" && <Forgotten username={username.value} />}
      <OtherSites />
    </form>
  );
}

function Profile({ who }: { who: UserInfo }) {
  const stats = useSignal<UserStats | null>(null);
  const wrong = useSignal<string | null>(null);
  useEffect(() => {
    session
      .fresh()
      .then((token) => statsOf(who.id, token))
      .then((answer) => {
        stats.value = answer;
      })
      .catch((error: unknown) => {
        wrong.value = explainError(error);
      });
  }, [who.id]);
  const now = stats.value;
  return (
    <>
      <div class="split">
        <h1>{who.name}</h1>
        <button type="button" class="quiet" onClick={() => void logOut()}>
          Sign out
        </button>
      </div>
      {wrong.value !== null && <p class="notice bad">{wrong.value}</p>}
      {now !== null && (
        <p class="figures-line">
          Rating <b>{Math.round(now.rating)}</b>
          {now.rank !== null && ` · rank ${now.rank}`} · {now.wins} won, {now.losses} lost
        </p>
      )}
      {now !== null && <Curve points={now.rating_curve} />}
      <Friends />
      <Privacy />
      <SigningIn />
      <History who={who.id} />
    </>
  );
}

function Friends() {
  const list = useSignal<FriendView[]>([]);
  const requests = useSignal<FriendView[]>([]);
  const name = useSignal("");
  const said = useSignal<string | null>(null);

  const load = async () => {
    try {
      const token = await session.fresh();
      const [mine, waiting] = await Promise.all([friends(token), friendRequests(token)]);
      [list.value, requests.value] = [mine.items, waiting.items];
    } catch (error) {
      said.value = explainError(error);
    }
  };
  useEffect(() => {
    void load();
    // Somebody asks, accepts or ends it.
    const timer = setInterval(() => void load(), 10_000);
    return () => clearInterval(timer);
  }, []);

  const ask = async (user: Id) => {
    try {
      said.value = (await befriend(user, await session.fresh())).state === "requested" ? "Asked." : null;
      await load();
    } catch (error) {
      said.value = explainError(error);
    }
  };
  const find = async () => {
    try {
      const found = await searchUsers(name.value, await session.fresh());
      const one = found.items.find((user) => user.name.toLowerCase() === name.value.toLowerCase());
      if (one === undefined) said.value = "There is nobody of that name.";
      else await ask(one.id);
    } catch (error) {
      said.value = explainError(error);
    }
  };

  return (
    <section class="friends">
      <h2>Friends</h2>
      <ul>
        {list.value.map(({ user }) => (
          <li key={user.id}>
            <Person who={user} /> <span class="hint">{presence.value[user.id] ?? ""}</span>
            {presence.value[user.id] !== undefined && (
              <button type="button" class="quiet" disabled={sent.value !== null} onClick={() => invite(user)}>
                Duel
              </button>
            )}
          </li>
        ))}
        {requests.value.map(({ user, direction }) => (
          <li key={user.id}>
            <Person who={user} /> <span class="hint">{direction === "incoming" ? "asks for your friendship" : "asked"}</span>
            {direction === "incoming" && (
              <button type="button" class="quiet" onClick={() => void ask(user.id)}>
                Accept
              </button>
            )}
          </li>
        ))}
      </ul>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.value !== "") void find();
        }}
      >
        <label class="unseen" for="friend">
          Name of a friend
        </label>
        <input
          id="friend"
          type="text"
          autocomplete="off"
          maxLength={20}
          placeholder="Name of a friend"
          value={name.value}
          onInput={(event) => {
            name.value = event.currentTarget.value.trim();
          }}
        />
        <button type="submit">Ask</button>
      </form>
      {said.value !== null && <p class="hint">{said.value}</p>}
    </section>
  );
}
