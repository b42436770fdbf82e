// The closed enums of the client protocol, version 1. In msgpack an enum is its number: the index in its list here.
// Names and numbers are frozen; new ones are appended.

export const MODES = ["ranked", "casual", "classic", "duel", "practice", "local", "tournament"] as const;
export const SIDES = ["left", "right"] as const;
export const PLACES = ["left", "right", "both", "spectator"] as const;
export const JOIN_AS = ["player", "spectator"] as const;
export const PHASES = ["waiting", "countdown", "playing", "paused", "finished"] as const;
export const SKILLS = ["smash", "dash"] as const;
export const LEVELS = ["easy", "normal", "hard"] as const;
export const POWER_UPS = ["split", "blackout", "blackhole"] as const;
export const END_REASONS = ["score", "timeout", "forfeit", "no_show", "abandoned"] as const;
export const EVENT_KINDS = [
  "countdown",
  "goal",
  "hit",
  "skill",
  "power_up",
  "paused",
  "resumed",
  "away",
  "back",
  "moved",
  "result_pending",
  "ready",
  "go",
] as const;

export const STATUSES = ["online", "away", "busy", "offline"] as const;

export type Mode = (typeof MODES)[number];
export type Side = (typeof SIDES)[number];
export type Place = (typeof PLACES)[number];
export type JoinAs = (typeof JOIN_AS)[number];
export type Phase = (typeof PHASES)[number];
export type Skill = (typeof SKILLS)[number];
export type Level = (typeof LEVELS)[number];
export type PowerUp = (typeof POWER_UPS)[number];
export type EndReason = (typeof END_REASONS)[number];
export type EventKind = (typeof EVENT_KINDS)[number];
export type Status = (typeof STATUSES)[number];

/** -1 up, 0 stay, 1 down. */
export type Dir = -1 | 0 | 1;

/** 0 for left, 1 for right: the index into every pair of the protocol. */
export type SideIndex = 0 | 1;

/** Why something was refused: the codes that this page tells apart. Others may come. */
export type ErrorCode =
  | "invalid_input"
  | "unauthenticated"
  | "totp_required"
  | "forbidden"
  | "not_found"
  | "already_in_queue"
  | "already_in_match"
  | "username_taken"
  | "payload_too_large"
  | "rate_limited"
  | "at_capacity"
  | "unavailable"
  | "internal"
  | (string & {});

/** Close codes of the WebSocket. */
export const CLOSE = {
  normal: 1000,
  unsupported: 1003,
  policy: 1008,
  tooLarge: 1009,
  restart: 1012,
  unauthenticated: 4401,
  timeout: 4408,
  seatTaken: 4409,
  tooMany: 4429,
} as const;
