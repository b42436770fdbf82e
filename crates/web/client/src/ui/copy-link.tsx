// Puts a link into the clipboard; where that is forbidden, shows it to be copied by hand.

import { useSignal } from "@preact/signals";

export function CopyLink({ path, label }: { path: string; label: string }) {
  const done = useSignal<"no" | "yes" | "failed">("no");
  const link = location.origin + path;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(link);
      done.value = "yes";
      setTimeout(() => {
        done.value = "no";
      }, 2000);
    } catch {
      done.value = "failed";
    }
  };
  if (done.value === "failed") {
    return <input class="link" aria-label={label} readOnly value={link} onFocus={(event) => event.currentTarget.select()} />;
  }
  return (
    <button type="button" class="quiet" data-link={link} onClick={copy}>
      {done.value === "yes" ? "Copied" : label}
    </button>
  );
}
