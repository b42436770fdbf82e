// What one is told and has not read.

import { useSignal } from "@preact/signals";
import { befriend, talk } from "rally-sdk";

import { session } from "../app.ts";
import { go } from "../router.ts";
import { chosen, markRead, notifications, refresh, titleOf } from "../talk.ts";

/** What can be done at once about it. */
function deed(told: talk.NotificationView): { label: string; run: () => Promise<void> | void } | null {
  const from = told.from?.id;
  const channel = told.channel;
  switch (told.kind) {
    case "friend_request":
      return from === undefined ? null : { label: "Accept", run: async () => void (await befriend(from, await session.fresh())) };
    case "group_invitation":
      if (channel === null) return null;
      return {
        label: "Join",
        run: async () => {
          await talk.joinGroup(channel, await session.fresh());
          refresh();
          show(channel);
        },
      };
    case "mention":
      return channel === null ? null : { label: "Show", run: () => show(channel) };
    default:
      return null;
  }
}

function show(channel: string): void {
  chosen.value = channel;
  go("/talk");
}

function sentence(told: talk.NotificationView): string {
  const who = told.from?.name ?? "Somebody";
  switch (told.kind) {
    case "friend_request":
      return `${who} asks for your friendship.`;
    case "friend_accepted":
      return `${who} is your friend now.`;
    case "mention":
      return `${who} in ${titleOf(told.channel ?? "")}: ${told.text ?? ""}`;
    case "group_invitation":
      return `${who} invites you to ${told.text ?? "a group"}.`;
    case "duel_invitation":
      return `${who} invites you to a duel.`;
    default:
      return told.text ?? `${who} has news for you.`;
  }
}

export function Bell() {
  const open = useSignal(false);
  const all = notifications.value;
  return (
    <div class="bell">
      <button
        type="button"
        class="quiet"
        aria-expanded={open.value}
        aria-label={all.length === 0 ? "No notifications" : `${all.length} notifications`}
        onClick={() => {
          open.value = !open.value;
        }}
      >
        <svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true">
          <path
            fill="currentColor"
            d="M12 2a6 6 0 0 0-6 6v4.6L4 16v1h16v-1l-2-3.4V8a6 6 0 0 0-6-6Zm-2.5 17a2.5 2.5 0 0 0 5 0Z"
          />
        </svg>
        {all.length > 0 && <b class="badge">{all.length}</b>}
      </button>
      {open.value && (
        <div class="told" role="dialog" aria-label="Notifications">
          <ul>
            {all.map((told) => {
              const now = deed(told);
              return (
                <li key={told.id}>
                  <span>{sentence(told)}</span>
                  {now !== null && (
                    <button
                      type="button"
                      onClick={() => {
                        open.value = false;
                        void Promise.resolve(now.run())
                          .then(() => markRead({ ids: [told.id] }))
                          .catch(() => refresh());
                      }}
                    >
                      {now.label}
                    </button>
                  )}
                  <button
                    type="button"
                    class="quiet"
                    aria-label="Read"
                    onClick={() => void markRead({ ids: [told.id] }).catch(() => refresh())}
                  >
                    ✓
                  </button>
                </li>
              );
            })}
          </ul>
          {all.length === 0 && <p class="hint">Nothing new.</p>}
          {all.length > 1 && (
            <button type="button" onClick={() => void markRead({ through: all[0]!.id }).catch(() => refresh())}>
              All read
            </button>
          )}
        </div>
      )}
    </div>
  );
}
