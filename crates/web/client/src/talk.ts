// What there is to read: one's channels, invitations to groups, and notifications. Read from an edge at each welcome,
// and again when something of it has changed.

import { computed, signal } from "@preact/signals";
import { talk as net, type Id } from "rally-sdk";

import { listen, session, state } from "./app.ts";
import { go, route } from "./router.ts";

export const channels = signal<net.ChannelView[]>([]);
export const invitations = signal<net.InvitationView[]>([]);
export const notifications = signal<net.NotificationView[]>([]);
/** The channel that is shown on the page of talk. */
export const chosen = signal("global");
const isShown = (channel: string) => route.value.page === "talk" && channel === chosen.value;
/** Channels with something unread, and invitations. */
export const unread = computed(
  () =>
    channels.value.filter(({ name, unread }) => !isShown(name) && (unread ?? 0) > 0).length + invitations.value.length,
);

/** Names of people with whom one talks alone. */
export const names = signal<Record<Id, string>>({});

/** Many changes at once are one reason to ask. */
const AGAIN_AFTER_MS = 300;
let asking: ReturnType<typeof setTimeout> | null = null;

/** Asks an edge, soon. */
export function refresh(): void {
  asking ??= setTimeout(() => {
    asking = null;
    void load().catch(() => {});
  }, AGAIN_AFTER_MS);
}

async function load(): Promise<void> {
  const token = await session.fresh();
  const [own, told] = await Promise.all([net.channels(token), net.notifications(token)]);
  [channels.value, invitations.value, notifications.value] = [own.items, own.invitations, told.items];
  const strangers = own.items.map(({ name }) => other(name)).filter((id) => id !== null && names.value[id] === undefined);
  for (const id of strangers) {
    const found = await net.userName(id!, token).catch(() => null);
    if (found !== null) names.value = { ...names.value, [id!]: found.name };
  }
}

/** With whom one talks alone in this channel; null: it is another kind. */
export function other(channel: string): Id | null {
  return channel.startsWith("direct:") ? channel.slice("direct:".length) : null;
}

/** Opens the channel that one has with somebody alone. */
export function writeTo(id: Id, name: string): void {
  names.value = { ...names.value, [id]: name };
  chosen.value = `direct:${id}`;
  go("/talk");
}

/** What a channel is called. */
export function titleOf(channel: string): string {
  const alone = other(channel);
  if (alone !== null) return names.value[alone] ?? "Somebody";
  if (/^(match|watch):/.test(channel)) return "A match";
  return channels.value.find(({ name }) => name === channel)?.title ?? (channel === "global" ? "Everybody" : "A group");
}

/** Has read these. */
export async function markRead(what: { through: Id } | { ids: Id[] }): Promise<void> {
  const gone = (id: Id) => ("ids" in what ? what.ids.includes(id) : id <= what.through);
  notifications.value = notifications.value.filter(({ id }) => !gone(id));
  await net.readNotifications(what, await session.fresh());
}

listen((message) => {
  switch (message.type) {
    case "welcome":
    case "group":
      refresh();
      break;
    case "channel_closed":
      if (chosen.value === message.channel) chosen.value = "global";
      refresh();
      break;
    case "notification": {
      const { type: _, ...told } = message;
      notifications.value = [told, ...notifications.value.filter(({ id }) => id !== told.id)];
      if (told.kind === "group_invitation" || told.kind === "mention") refresh();
      break;
    }
  }
});
if (state.value.kind === "live") refresh();
