// The HTTP API about talking: channels, groups, notifications, search, reports.

import type { Id, Notified, UserInfo } from "./protocol/index.ts";
import { call } from "./api.ts";

export type Role = "owner" | "moderator" | "member";

export interface ChannelView {
  name: string;
  /** What others have said since, up to 100; null of `global`. */
  unread: number | null;
  /** These of groups only. */
  title?: string;
  role?: Role;
  slow_s?: number;
  muted_until?: string | null;
}

export interface InvitationView {
  channel: string;
  title: string;
  by: UserInfo;
}

export interface Member {
  user: UserInfo;
  role: Role;
  muted_until: string | null;
}

export interface Group {
  name: string;
  title: string;
  role: Role;
  slow_s: number;
  members: Member[];
  invited: { user: UserInfo }[];
}

export type NotificationView = Omit<Notified, "type">;

export interface FoundMessage {
  channel: string;
  offset: number;
  id: Id;
  from: UserInfo;
  text: string;
  sent_at: string;
}

export type Reason = "abuse" | "spam" | "cheating" | "name" | "other";
export type About = { user: Id } | { message: { channel: string; offset: number } } | { match: Id };

export function channels(token: string): Promise<{ items: ChannelView[]; invitations: InvitationView[] }> {
  return call("GET", "", "/channels", undefined, token);
}

export function createGroup(title: string, token: string): Promise<Group> {
  return call("POST", "", "/channels", { title }, token);
}

export function group(channel: string, token: string): Promise<Group> {
  return call("GET", "", `/channels/${channel}`, undefined, token);
}

export function changeGroup(channel: string, change: { title?: string; slow_s?: number }, token: string): Promise<Group> {
  return call("PATCH", "", `/channels/${channel}`, change, token);
}

export function deleteGroup(channel: string, token: string): Promise<void> {
  return call("DELETE", "", `/channels/${channel}`, undefined, token);
}

export function joinGroup(channel: string, token: string): Promise<Group> {
  return call("POST", "", `/channels/${channel}/join`, {}, token);
}

export function leaveGroup(channel: string, token: string): Promise<void> {
  return call("POST", "", `/channels/${channel}/leave`, {}, token);
}

export function invite(channel: string, user: Id, token: string): Promise<void> {
  return call("POST", "", `/channels/${channel}/invitations`, { user }, token);
}

/** Takes an invitation back; one's own: declines it. */
export function uninvite(channel: string, user: Id, token: string): Promise<void> {
  return call("DELETE", "", `/channels/${channel}/invitations/${user}`, undefined, token);
}

export function changeMember(channel: string, user: Id, change: { role?: Role; mute_s?: number }, token: string): Promise<void> {
  return call("PATCH", "", `/channels/${channel}/members/${user}`, change, token);
}

export function kick(channel: string, user: Id, token: string): Promise<void> {
  return call("DELETE", "", `/channels/${channel}/members/${user}`, undefined, token);
}

export function ban(channel: string, user: Id, token: string): Promise<void> {
  return call("PUT", "", `/channels/${channel}/bans/${user}`, undefined, token);
}

export function search(words: string, before: Id | null, token: string): Promise<{ items: FoundMessage[]; next: Id | null }> {
  const from = before === null ? "" : `&before=${before}`;
  return call("GET", "", `/messages?search=${encodeURIComponent(words)}&limit=20${from}`, undefined, token);
}

export function notifications(token: string): Promise<{ items: NotificationView[] }> {
  return call("GET", "", "/notifications?limit=50", undefined, token);
}

/** Has read this one, and all that is older; or this one alone. */
export function readNotifications(what: { through: Id } | { ids: Id[] }, token: string): Promise<void> {
  return call("POST", "", "/notifications/read", what, token);
}

export function report(about: About, reason: Reason, text: string, token: string): Promise<{ id: Id }> {
  return call("POST", "", "/reports", { ...about, reason, text }, token);
}

export function userName(id: Id, token: string): Promise<{ name: string }> {
  return call("GET", "", `/users/${id}`, undefined, token);
}

export interface Settings {
  read_receipts: boolean;
}

export async function settings(token: string): Promise<Settings> {
  return (await call<{ settings: Settings }>("GET", "", "/users/me", undefined, token)).settings;
}

export async function change(what: Partial<Settings>, token: string): Promise<Settings> {
  return (await call<{ settings: Settings }>("PATCH", "", "/users/me", what, token)).settings;
}
