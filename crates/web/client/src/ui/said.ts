// What was said in a channel, as it is to be shown: in order, each once, with what was edited or taken back.

import type { ChatMessage } from "rally-sdk";

/** Messages that are shown. */
export const SHOWN_MAX = 200;

export interface Said {
  shown: ChatMessage[];
  /** The highest offset that has come; null: none. */
  last: number | null;
}

export const NOTHING: Said = { shown: [], last: null };

/** Messages have come, perhaps again. */
export function take({ shown, last }: Said, messages: readonly ChatMessage[]): Said {
  for (const message of messages) {
    if (last !== null && message.offset <= last) continue;
    last = message.offset;
    if (message.edits === null) shown = [...shown, message];
    else shown = shown.map((one) => (one.offset === message.edits ? { ...one, text: message.text } : one));
  }
  return { shown: shown.filter((one) => one.text !== "").slice(-SHOWN_MAX), last };
}

/** A text in parts: names that are called, and what stands between them. */
export function parts(text: string): { text: string; isName: boolean }[] {
  return text
    .split(/(?<!\w)(@[A-Za-z0-9_]{3,20})(?!\w)/)
    .map((part, i) => ({ text: part, isName: i % 2 === 1 }))
    .filter(({ text }) => text !== "");
}
