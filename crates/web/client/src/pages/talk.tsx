// Talk: one's channels, one of them open, and finding again what was said.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { talk as net } from "rally-sdk";

import { explainError, session, user } from "../app.ts";
import { channels, chosen, invitations, refresh, titleOf } from "../talk.ts";
import { Chat } from "../ui/chat.tsx";
import { GroupAffairs } from "../ui/group.tsx";
import { Places } from "../ui/places.tsx";

/** What is said in channels that are not open is asked for. */
const REFRESH_MS = 10_000;

export default function Talk() {
  const affairs = useSignal(false);
  useEffect(() => {
    refresh();
    const timer = setInterval(refresh, REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const here = chosen.value;
  const view = channels.value.find(({ name }) => name === here);
  const isGroup = here.startsWith("group:");
  const listed = view === undefined ? [...channels.value, { name: here, unread: null }] : channels.value;
  const moderates = view?.role === "owner" || view?.role === "moderator";
  return (
    <main class="sheet">
      <div class="panel">
        <Places />
        {user.value === null ? (
          <p class="hint">Give a name on the first page, or sign in, to talk.</p>
        ) : (
          <>
            <Invitations />
            <nav class="channels" aria-label="Channels">
              {listed.map(({ name, unread }) => (
                <button
                  key={name}
                  type="button"
                  class={name === here ? "chosen" : "quiet"}
                  aria-current={name === here}
                  onClick={() => {
                    [chosen.value, affairs.value] = [name, false];
                  }}
                >
                  {titleOf(name)}
                  {name !== here && (unread ?? 0) > 0 && <b class="badge">{unread === 100 ? "99+" : unread}</b>}
                </button>
              ))}
            </nav>
            <div class="split">
              <h1>{titleOf(here)}</h1>
              {isGroup && (
                <button
                  type="button"
                  class="quiet"
                  aria-expanded={affairs.value}
                  onClick={() => {
                    affairs.value = !affairs.value;
                  }}
                >
                  Members
                </button>
              )}
            </div>
            {isGroup && affairs.value && <GroupAffairs key={here} channel={here} />}
            <Chat key={here} channel={here} moderates={moderates} placeholder={`Say something to ${titleOf(here)}`} />
            <NewGroup />
            <Search />
          </>
        )}
      </div>
    </main>
  );
}

function Invitations() {
  const answer = async (channel: string, comes: boolean) => {
    const token = await session.fresh();
    if (comes) {
      await net.joinGroup(channel, token);
      chosen.value = channel;
    } else if (user.value !== null) {
      await net.uninvite(channel, user.value.id, token);
    }
    refresh();
  };
  return (
    <>
      {invitations.value.map(({ channel, title, by }) => (
        <div key={channel} class="notice">
          <span>
            {by.name} invites you to {title}.
          </span>
          <span class="row">
            <button type="button" class="primary" onClick={() => void answer(channel, true).catch(refresh)}>
              Join
            </button>
            <button type="button" class="quiet" onClick={() => void answer(channel, false).catch(refresh)}>
              Decline
            </button>
          </span>
        </div>
      ))}
    </>
  );
}

function NewGroup() {
  const title = useSignal("");
  const wrong = useSignal<string | null>(null);
  const make = async () => {
    try {
      const made = await net.createGroup(title.value, await session.fresh());
      [title.value, wrong.value] = ["", null];
      chosen.value = made.name;
      refresh();
    } catch (error) {
      wrong.value = explainError(error);
    }
  };
  return (
    <form
      class="row below"
      onSubmit={(event) => {
        event.preventDefault();
        if (title.value.trim() !== "") void make();
      }}
    >
      <label class="unseen" for="group">
        Title of a new group
      </label>
      <input
        id="group"
        type="text"
        autocomplete="off"
        maxLength={60}
        placeholder="Title of a new group"
        value={title.value}
        onInput={(event) => {
          title.value = event.currentTarget.value;
        }}
      />
      <button type="submit">Create group</button>
      {wrong.value !== null && <p class="hint wrong">{wrong.value}</p>}
    </form>
  );
}

function Search() {
  const words = useSignal("");
  const found = useSignal<net.FoundMessage[] | null>(null);
  const next = useSignal<string | null>(null);
  const wrong = useSignal<string | null>(null);
  const look = async (before: string | null) => {
    try {
      const page = await net.search(words.value, before, await session.fresh());
      found.value = before === null ? page.items : [...(found.value ?? []), ...page.items];
      [next.value, wrong.value] = [page.next, null];
    } catch (error) {
      wrong.value = explainError(error);
    }
  };
  return (
    <section class="search">
      <form
        class="row"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          if (words.value.trim() !== "") void look(null);
        }}
      >
        <label class="unseen" for="words">
          Words that were said
        </label>
        <input
          id="words"
          type="search"
          autocomplete="off"
          maxLength={100}
          placeholder="Words that were said"
          value={words.value}
          onInput={(event) => {
            words.value = event.currentTarget.value;
          }}
        />
        <button type="submit">Find</button>
      </form>
      {wrong.value !== null && <p class="hint wrong">{wrong.value}</p>}
      {found.value?.length === 0 && <p class="hint">Nothing was said of it.</p>}
      <ul>
        {found.value?.map((message) => (
          <li key={message.id}>
            <span>
              <span class="hint">
                {titleOf(message.channel)}, {new Date(message.sent_at).toLocaleDateString()}
              </span>{" "}
              <b>{message.from.name}</b> {message.text}
            </span>
          </li>
        ))}
      </ul>
      {next.value !== null && (
        <button type="button" onClick={() => void look(next.value)}>
          More
        </button>
      )}
    </section>
  );
}
