// Reporting something to those who run this.

import { useSignal } from "@preact/signals";
import { talk } from "rally-sdk";

import { explainError, session } from "../app.ts";

const REASONS: { value: talk.Reason; label: string }[] = [
  { value: "abuse", label: "Insults or threats" },
  { value: "spam", label: "Advertising or floods" },
  { value: "cheating", label: "Unfair play" },
  { value: "name", label: "A name or picture" },
  { value: "other", label: "Something else" },
];

export function Report({ about, onDone }: { about: talk.About; onDone: () => void }) {
  const reason = useSignal<talk.Reason>("abuse");
  const text = useSignal("");
  const said = useSignal<string | null>(null);
  const send = async () => {
    try {
      await talk.report(about, reason.value, text.value, await session.fresh());
      onDone();
    } catch (error) {
      said.value = explainError(error);
    }
  };
  return (
    <form
      class="report"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <label for="reason">Why do you report this?</label>
      <select
        id="reason"
        value={reason.value}
        onChange={(event) => {
          reason.value = event.currentTarget.value as talk.Reason;
        }}
      >
        {REASONS.map(({ value, label }) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
      <label class="unseen" for="report-text">
        In your words
      </label>
      <input
        id="report-text"
        type="text"
        autocomplete="off"
        maxLength={1000}
        placeholder="In your words"
        value={text.value}
        onInput={(event) => {
          text.value = event.currentTarget.value;
        }}
      />
      {said.value !== null && <p class="hint wrong">{said.value}</p>}
      <div class="row">
        <button type="submit">Send report</button>
        <button type="button" class="quiet" onClick={onDone}>
          Cancel
        </button>
      </div>
    </form>
  );
}
