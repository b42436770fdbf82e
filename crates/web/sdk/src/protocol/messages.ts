// The messages of the client protocol, version 1, as this page holds them: enums by name, ids as text.
//
// Lengths are in world units (u). Positions are integers in 1/16 u, velocities integers in u/s; y grows downward.
// A tick is 1/60 s since the match was created.

import type {
  Dir,
  EndReason,
  ErrorCode,
  EventKind,
  JoinAs,
  Level,
  Mode,
  Phase,
  Place,
  PowerUp,
  Side,
  Skill,
  Status,
} from "./enums.ts";

/** A UUID, as text. */
export type Id = string;
/** Left, then right. */
export type Pair<T> = [T, T];

export interface UserInfo {
  id: Id;
  name: string;
  guest: boolean;
}

export interface Player {
  /** Null for a bot. */
  user: Id | null;
  name: string;
  /** Null for a person. */
  bot: Level | null;
  /** Null in classic mode. */
  skill: Skill | null;
  connected: boolean;
  ready: boolean;
  pausesLeft: number;
  awayLeftS: number;
}

export interface PaddleState {
  y: number;
  dir: Dir;
}

export interface BallState {
  x: number;
  y: number;
  vx: number;
  vy: number;
}

/** Both in ticks left. */
export interface SkillState {
  cooldown: number;
  active: number;
}

export interface PowerUpState {
  id: number;
  kind: PowerUp;
  x: number;
  y: number;
  ticksLeft: number;
}

/** `side`: the collector of a split, the darkened one of a blackout, null for a blackhole. */
export interface EffectState {
  kind: PowerUp;
  side: Side | null;
  ticksLeft: number;
}

// From the page.

export type ClientMessage =
  | { type: "hello"; token: string; resume: { session: Id; channels: { channel: string; offset: number }[] } | null }
  | { type: "auth"; token: string }
  | { type: "ping"; t: number }
  | { type: "queue_join"; mode: Mode; skill: Skill | null }
  | { type: "queue_leave" }
  | { type: "match_join"; match: Id; as: JoinAs; skill: Skill | null }
  | { type: "match_leave"; match: Id }
  | { type: "ready"; match: Id }
  | { type: "pause"; match: Id }
  | { type: "resume"; match: Id }
  | { type: "forfeit"; match: Id }
  | { type: "rematch"; match: Id; skill: Skill | null }
  | { type: "input"; match: Id; seq: number; dir: Dir; press: boolean; side: Side | null }
  | { type: "channel_join"; channel: string; since: number | null }
  | { type: "channel_leave"; channel: string }
  | { type: "chat_send"; channel: string; text: string; nonce: string }
  | { type: "duel_invite"; user: Id; mode: Mode; skill: Skill | null }
  | { type: "duel_answer"; invite: Id; accept: boolean; skill: Skill | null }
  | { type: "duel_cancel"; invite: Id; user: Id }
  | { type: "replay_control"; match: Id; tick: number | null; speedPercent: number | null }
  | { type: "read"; channel: string; offset: number }
  | { type: "chat_edit"; channel: string; offset: number; text: string; nonce: string };

// From an edge.

export interface Welcome {
  type: "welcome";
  session: Id;
  user: UserInfo;
  serverTimeMs: number;
  tickHz: number;
  resumed: boolean;
  edge: string;
  edges: string[];
  tokenExpiresInS: number;
  match: Id | null;
  queue: Mode | null;
  channels: string[];
}

export interface Authenticated {
  type: "authenticated";
  tokenExpiresInS: number;
}

export interface Pong {
  type: "pong";
  t: number;
  serverTimeMs: number;
}

export interface ErrorMessage {
  type: "error";
  code: ErrorCode;
  detail: string;
  of: string | null;
  match: Id | null;
  /** Until when it is so, in ms since 1970. */
  until: number | null;
}

export interface Queued {
  type: "queued";
  mode: Mode;
  waitS: number | null;
}

export interface QueueLeft {
  type: "queue_left";
  mode: Mode;
}

export interface MatchFound {
  type: "match_found";
  match: Id;
  mode: Mode;
  side: Side;
  opponent: UserInfo | null;
}

export interface MatchJoined {
  type: "match_joined";
  match: Id;
  side: Place;
  players: Pair<Player | null>;
  mode: Mode;
  phase: Phase;
  snapshot: Snapshot;
  classic: boolean;
  scoreToWin: number;
  private: boolean;
  lastEvent: number;
  over: GameOver | null;
}

export interface Snapshot {
  type: "snapshot";
  match: Id;
  tick: number;
  /** Sub-steps (1/240 s) in play. */
  clock: number;
  epoch: number;
  phase: Phase;
  ack: Pair<number>;
  paddles: Pair<PaddleState>;
  balls: BallState[];
  score: Pair<number>;
  skills: Pair<SkillState>;
  powerUps: PowerUpState[];
  effects: EffectState[];
}

export interface MatchEvent {
  type: "match_event";
  match: Id;
  tick: number;
  n: number;
  event: EventKind;
  side: Side | null;
  value: number | null;
  y: number | null;
  score: Pair<number> | null;
  skill: Skill | null;
  powerUp: PowerUp | null;
}

export interface GameOver {
  type: "game_over";
  match: Id;
  winner: Side | null;
  score: Pair<number>;
  reason: EndReason;
  /** Of each side, before and after. */
  ratings: Pair<Pair<number>> | null;
}

export interface ChannelJoined {
  type: "channel_joined";
  channel: string;
  messages: ChatMessage[];
  /** Whether they continue where one had stopped. */
  recovered: boolean;
  lastOffset: number;
}

export interface ChatMessage {
  type: "chat_message";
  channel: string;
  /** Rises by one in each channel. */
  offset: number;
  id: Id;
  from: UserInfo;
  /** Empty: it was taken back. */
  text: string;
  /** In ms since 1970. */
  sentAt: number;
  /** Of one's own. */
  nonce: string | null;
  /** The offset of an earlier message whose text this is; empty: it is taken back. */
  edits: number | null;
  /** Who is named in it. */
  mentions: Id[];
}

/** One is told something, until one has read it. */
export interface Notified {
  type: "notification";
  id: Id;
  kind: string;
  from: UserInfo | null;
  subject: Id | null;
  channel: string | null;
  offset: number | null;
  text: string | null;
  /** In ms since 1970. */
  at: number;
}

/** A group of one's own has changed. What has not is null. */
export interface GroupChanged {
  type: "group";
  channel: string;
  change: string;
  by: UserInfo;
  user: Id | null;
  role: string | null;
  until: number | null;
  title: string | null;
  slowS: number | null;
}

/** One reads a channel no more. */
export interface ChannelClosed {
  type: "channel_closed";
  channel: string;
  reason: string;
}

export interface Presence {
  type: "presence";
  user: Id;
  status: Status;
  match: Id | null;
}

/** Somebody wants to play. */
export interface DuelInvited {
  type: "duel_invited";
  invite: Id;
  from: UserInfo;
  mode: Mode;
  expiresInS: number;
}

export interface DuelAnswered {
  type: "duel_answered";
  invite: Id;
  accept: boolean;
}

/** One's own invitation is on its way. */
export interface DuelSent {
  type: "duel_sent";
  invite: Id;
  user: Id;
  expiresInS: number;
}

/** An invitation can no longer be answered. */
export interface DuelOver {
  type: "duel_over";
  invite: Id;
}

/** The opponent of a finished match wants another. */
export interface RematchWanted {
  type: "rematch_wanted";
  match: Id;
}

/** Where a replay stands that one watches. */
export interface ReplayState {
  type: "replay";
  match: Id;
  /** The finished match. */
  of: Id;
  /** Of that match, from its beginning. */
  tick: number;
  ticks: number;
  /** 100 is as it was played, 0 stands still. */
  speedPercent: number;
}

export interface Reconnect {
  type: "reconnect";
  afterMs: number;
  reason: string;
}

export type ServerMessage =
  | Welcome
  | Authenticated
  | Pong
  | ErrorMessage
  | Queued
  | QueueLeft
  | MatchFound
  | MatchJoined
  | Snapshot
  | MatchEvent
  | GameOver
  | ChannelJoined
  | ChatMessage
  | Presence
  | DuelInvited
  | DuelAnswered
  | DuelSent
  | DuelOver
  | RematchWanted
  | ReplayState
  | Notified
  | GroupChanged
  | ChannelClosed
  | Reconnect;

export type ServerMessageOf<T extends ServerMessage["type"]> = Extract<ServerMessage, { type: T }>;
