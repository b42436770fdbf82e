// A channel: what is said there, in order, and saying something. What is missed while the connection is away comes
// afterwards, without repetition.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { connection, explain, listen, state, user } from "../app.ts";
import type { ChatMessage, ServerMessage } from "rally-sdk";

/** Messages that are shown. */
const SHOWN_MAX = 200;

export function Chat({ channel }: { channel: string }) {
  const said = useSignal<ChatMessage[]>([]);
  const text = useSignal("");
  const wrong = useSignal<string | null>(null);
  const last = useRef<number | null>(null);
  const list = useRef<HTMLUListElement>(null);
  const live = state.value.kind === "live";

  useEffect(() => {
    const take = (messages: ChatMessage[]) => {
      const fresh = messages.filter(({ offset }) => last.current === null || offset > last.current);
      if (fresh.length === 0) return;
      last.current = fresh[fresh.length - 1]!.offset;
      let shown = said.value;
      for (const message of fresh) {
        if (message.edits === null) shown = [...shown, message];
        else shown = shown.map((one) => (one.offset === message.edits ? { ...one, text: message.text } : one));
      }
      said.value = shown.filter((one) => one.text !== "").slice(-SHOWN_MAX);
    };
    return listen((message: ServerMessage) => {
      if (message.type === "channel_joined" && message.channel === channel) {
        if (!message.recovered) [said.value, last.current] = [[], null];
        take(message.messages);
        last.current = Math.max(last.current ?? 0, message.lastOffset);
        wrong.value = null;
      } else if (message.type === "chat_message" && message.channel === channel) {
        take([message]);
        if (message.from.id === user.value?.id) wrong.value = null;
      } else if (message.type === "error" && (message.of === "chat_send" || message.of === "channel_join")) {
        wrong.value = explain(message.code, message.detail);
      }
    });
  }, [channel]);

  useEffect(() => {
    if (!live) return;
    connection.send({ type: "channel_join", channel, since: last.current });
    return () => {
      connection.send({ type: "channel_leave", channel });
    };
  }, [channel, live]);

  useEffect(() => {
    list.current?.scrollTo({ top: list.current.scrollHeight });
  }, [said.value]);

  if (user.value === null) return null;
  return (
    <section class="chat" aria-label="Chat">
      <ul ref={list} aria-live="polite">
        {said.value.map((message) => (
          <li key={message.offset}>
            <b>{message.from.name}</b> {message.text}
          </li>
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
          placeholder="Say something to everybody"
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
