// Duels by invitation, and rematches: what was said to this page, and what it says.

import { signal } from "@preact/signals";

import { connection, explain, listen } from "./app.ts";
import type { Id, Mode, ServerMessage, Skill, UserInfo } from "rally-sdk";
import * as settings from "./settings.ts";

/** Somebody wants to play. */
export interface Invitation {
  invite: Id;
  from: UserInfo;
  mode: Mode;
  untilMs: number;
}

/** One's own invitation: on its way, or waiting for its answer. */
export interface Sent {
  user: UserInfo;
  /** Null until the server has it. */
  invite: Id | null;
  untilMs: number;
}

export const invitations = signal<Invitation[]>([]);
export const sent = signal<Sent | null>(null);
/** What became of the last one. */
export const outcome = signal<string | null>(null);
/** The finished match of which the opponent wants another. */
export const rematchWanted = signal<Id | null>(null);
/** The one of which one wants another oneself. */
export const rematchAsked = signal<Id | null>(null);

const OURS = ["duel_invite", "duel_answer", "duel_cancel", "rematch"];

export function take(message: ServerMessage, nowMs: number): void {
  const now = nowMs;
  const current = invitations.value.filter((one) => one.untilMs > now);
  switch (message.type) {
    case "duel_invited": {
      const { invite, from, mode, expiresInS } = message;
      // Of one person the last one counts.
      const others = current.filter((one) => one.from.id !== from.id);
      invitations.value = [...others, { invite, from, mode, untilMs: now + expiresInS * 1000 }];
      break;
    }
    case "duel_over":
      invitations.value = current.filter((one) => one.invite !== message.invite);
      break;
    case "duel_sent":
      if (sent.value?.user.id === message.user) {
        sent.value = { ...sent.value, invite: message.invite, untilMs: now + message.expiresInS * 1000 };
      }
      break;
    case "duel_answered":
      if (sent.value?.invite !== message.invite) break;
      if (!message.accept) outcome.value = `${sent.value.user.name} does not want to play now.`;
      sent.value = null;
      break;
    case "rematch_wanted":
      rematchWanted.value = message.match;
      break;
    case "match_found":
      [sent.value, rematchWanted.value, rematchAsked.value] = [null, null, null];
      break;
    case "error":
      if (message.of === null || !OURS.includes(message.of)) break;
      outcome.value = message.code === "not_found" || message.code === "forbidden" ? sentence(message.detail) : explain(message.code, message.detail);
      if (message.of === "duel_invite") sent.value = null;
      if (message.of === "rematch") rematchAsked.value = null;
      break;
  }
}
listen(take);

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function ownSkill(mode: Mode): Skill | null {
  return mode === "classic" ? null : settings.skill.value;
}

export function invite(user: UserInfo): void {
  const mode: Mode = settings.classic.value ? "classic" : "duel";
  outcome.value = null;
  sent.value = { user, invite: null, untilMs: performance.now() + 60_000 };
  connection.send({ type: "duel_invite", user: user.id, mode, skill: ownSkill(mode) });
}

export function takeBack(): void {
  const now = sent.value;
  sent.value = null;
  if (now?.invite != null) connection.send({ type: "duel_cancel", invite: now.invite, user: now.user.id });
}

export function answer({ invite, mode }: Invitation, accept: boolean): void {
  outcome.value = null;
  invitations.value = invitations.value.filter((one) => one.invite !== invite);
  connection.send({ type: "duel_answer", invite, accept, skill: ownSkill(mode) });
}

/** What has expired is not shown any more. */
export function forgetExpired(nowMs: number): void {
  if (invitations.value.some((one) => one.untilMs <= nowMs)) {
    invitations.value = invitations.value.filter((one) => one.untilMs > nowMs);
  }
  if (sent.value !== null && sent.value.untilMs <= nowMs) {
    outcome.value = `${sent.value.user.name} did not answer.`;
    sent.value = null;
  }
}

export function rematch(match: Id, skill: Skill | null): void {
  rematchAsked.value = match;
  connection.send({ type: "rematch", match, skill });
}
