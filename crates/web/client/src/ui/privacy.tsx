// What others are told of one.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { talk } from "rally-sdk";

import { session } from "../app.ts";

export function Privacy() {
  const receipts = useSignal<boolean | null>(null);
  useEffect(() => {
    session
      .fresh()
      .then(talk.settings)
      .then((now) => {
        receipts.value = now.read_receipts;
      })
      .catch(() => {});
  }, []);
  const set = async (wanted: boolean) => {
    const before = receipts.value;
    receipts.value = wanted;
    try {
      receipts.value = (await talk.change({ read_receipts: wanted }, await session.fresh())).read_receipts;
    } catch {
      receipts.value = before;
    }
  };
  if (receipts.value === null) return null;
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={receipts.value}
        onChange={(event) => void set(event.currentTarget.checked)}
      />
      <span>Tell others what I have read, and tell me the same of them</span>
    </label>
  );
}
