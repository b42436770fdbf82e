// A channel: what is said there, in order, and saying something. What is missed while the connection is away comes
// afterwards, without repetition.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { connection, explain, listen, state, user } from "../app.ts";
import type { ChatMessage, ErrorMessage, ServerMessage } from "rally-sdk";
import { go } from "../router.ts";
import { writeTo } from "../talk.ts";
import { Report } from "./report.tsx";
import { NOTHING, parts, take, type Said } from "./said.ts";

/** One's own messages can be taken back for so long. */
const TAKE_BACK_MS = 5 * 60_000;

interface Props {
  channel: string;
  /** Whether one keeps order here. */
  moderates?: boolean;
  placeholder?: string;
}

function refusal(error: ErrorMessage): string {
  if (error.until !== null) {
    const until = new Date(error.until).toLocaleString();
    return error.code === "rate_limited" ? `Slowly: not before ${until}.` : `You are muted here until ${until}.`;
  }
  return error.code === "forbidden" || error.code === "not_found" ? error.detail : explain(error.code, error.detail);
}

export function Chat({ channel, moderates = false, placeholder = "Say something to everybody" }: Props) {
  const said = useSignal<Said>(NOTHING);
  const text = useSignal("");
  const wrong = useSignal<string | null>(null);
  const list = useRef<HTMLUListElement>(null);
  const live = state.value.kind === "live";

  useEffect(() => {
    said.value = NOTHING;
    return listen((message: ServerMessage) => {
      if (message.type === "channel_joined" && message.channel === channel) {
        const now = take(message.recovered ? said.value : NOTHING, message.messages);
        said.value = { ...now, last: Math.max(now.last ?? 0, message.lastOffset) };
        wrong.value = null;
      } else if (message.type === "chat_message" && message.channel === channel) {
        said.value = take(said.value, [message]);
        if (message.from.id === user.value?.id) wrong.value = null;
      } else if (message.type === "error" && ["chat_send", "chat_edit", "channel_join"].includes(message.of ?? "")) {
        wrong.value = refusal(message);
      }
    });
  }, [channel]);

  useEffect(() => {
    if (!live) return;
    connection.send({ type: "channel_join", channel, since: said.value.last });
    return () => {
      connection.send({ type: "channel_leave", channel });
    };
  }, [channel, live]);

  const last = said.value.last;
  useEffect(() => {
    list.current?.scrollTo({ top: list.current.scrollHeight });
    // What is in view has been read; many at once are one.
    if (last === null || last === 0 || document.visibilityState !== "visible") return;
    const timer = setTimeout(() => connection.send({ type: "read", channel, offset: last }), 1000);
    return () => clearTimeout(timer);
  }, [channel, last]);

  if (user.value === null) return null;
  return (
    <section class="chat" aria-label="Chat">
      <ul ref={list} aria-live="polite">
        {said.value.shown.map((message) => (
          <Message key={message.offset} message={message} channel={channel} moderates={moderates} />
        ))}
      </ul>
      {wrong.value !== null && <p class="hint wrong">{wrong.value}</p>}
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          const words = text.value.trim();
          if (words === "" || !live) return;
          connection.send({ type: "chat_send", channel, text: words, nonce: crypto.randomUUID() });
          text.value = "";
        }}
      >
        <label class="unseen" for="say">
          Say something
        </label>
        <input
          id="say"
          type="text"
          autocomplete="off"
          maxLength={500}
          placeholder={placeholder}
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
        />
        <button type="submit" disabled={!live}>
          Say
        </button>
      </form>
    </section>
  );
}

function Message({ message, channel, moderates }: { message: ChatMessage; channel: string; moderates: boolean }) {
  const open = useSignal(false);
  const reporting = useSignal(false);
  const me = user.value?.id;
  const isOwn = message.from.id === me;
  const canTakeBack = moderates || (isOwn && Date.now() - message.sentAt < TAKE_BACK_MS);
  const takeBack = () => {
    connection.send({ type: "chat_edit", channel, offset: message.offset, text: "", nonce: crypto.randomUUID() });
    open.value = false;
  };
  return (
    <li class={me !== undefined && message.mentions.includes(me) ? "called" : ""}>
      <button
        type="button"
        class="who"
        aria-expanded={open.value}
        onClick={() => {
          open.value = !open.value;
        }}
      >
        {message.from.name}
      </button>{" "}
      {parts(message.text).map((part, i) => (part.isName ? <i key={i}>{part.text}</i> : part.text))}
      {open.value && (
        <span class="deeds">
          <button type="button" class="quiet" onClick={() => go(`/player/${message.from.id}`)}>
            Profile
          </button>
          {!isOwn && (
            <button type="button" class="quiet" onClick={() => writeTo(message.from.id, message.from.name)}>
              Write to {message.from.name}
            </button>
          )}
          {canTakeBack && (
            <button type="button" class="quiet" onClick={takeBack}>
              Take back
            </button>
          )}
          {!isOwn && (
            <button
              type="button"
              class="quiet"
              onClick={() => {
                reporting.value = true;
              }}
            >
              Report
            </button>
          )}
        </span>
      )}
      {reporting.value && (
        <Report
          about={{ message: { channel, offset: message.offset } }}
          onDone={() => {
            [reporting.value, open.value] = [false, false];
          }}
        />
      )}
    </li>
  );
}
