// `rally.v1.msgpack`: a message is a flat array, `[number, field, field, ...]`.
//
// Decoding is strict about what the page uses and lenient about what it does not know: fields appended later are
// ignored, an unknown type or a malformed frame is `null` (the page must outlive a newer edge, and never throws on
// what comes from outside).

import { decode as unpack, encode as pack } from "@msgpack/msgpack";

import {
  END_REASONS,
  EVENT_KINDS,
  JOIN_AS,
  LEVELS,
  MODES,
  PHASES,
  PLACES,
  POWER_UPS,
  SIDES,
  SKILLS,
  STATUSES,
  type Dir,
} from "./enums.ts";
import { idFromBytes, idToBytes } from "./ids.ts";
import type {
  BallState,
  ChatMessage,
  ClientMessage,
  EffectState,
  GameOver,
  Id,
  PaddleState,
  Pair,
  Player,
  PowerUpState,
  ServerMessage,
  SkillState,
  Snapshot,
  UserInfo,
} from "./messages.ts";

export const SUBPROTOCOL = "rally.v1.msgpack";

/** The bytes of one message, ready for one binary frame. */
export function encode(message: ClientMessage): Uint8Array<ArrayBuffer> {
  return pack(flat(message));
}

/** The message in a binary frame; null where it is none that this page knows. */
export function decode(frame: ArrayBuffer | Uint8Array): ServerMessage | null {
  try {
    const items: unknown = unpack(frame);
    return Array.isArray(items) ? fromItems(items) : null;
  } catch {
    return null;
  }
}

function number<T extends string>(names: readonly T[], name: T): number {
  return names.indexOf(name);
}

function optional<T extends string>(names: readonly T[], name: T | null): number | null {
  return name === null ? null : number(names, name);
}

function flat(message: ClientMessage): unknown[] {
  switch (message.type) {
    case "hello": {
      const resume = message.resume && [
        idToBytes(message.resume.session),
        message.resume.channels.map(({ channel, offset }) => [channel, offset]),
      ];
      return [1, message.token, resume];
    }
    case "auth":
      return [2, message.token];
    case "ping":
      return [3, message.t];
    case "queue_join":
      return [4, number(MODES, message.mode), optional(SKILLS, message.skill)];
    case "queue_leave":
      return [5];
    case "match_join":
      return [6, idToBytes(message.match), number(JOIN_AS, message.as), optional(SKILLS, message.skill)];
    case "match_leave":
      return [7, idToBytes(message.match)];
    case "ready":
      return [8, idToBytes(message.match)];
    case "pause":
      return [9, idToBytes(message.match)];
    case "resume":
      return [10, idToBytes(message.match)];
    case "forfeit":
      return [11, idToBytes(message.match)];
    case "rematch":
      return [12, idToBytes(message.match), optional(SKILLS, message.skill)];
    case "input":
      return [
        13,
        idToBytes(message.match),
        message.seq,
        message.dir,
        message.press,
        optional(SIDES, message.side),
      ];
    case "channel_join":
      return [14, message.channel, message.since];
    case "channel_leave":
      return [15, message.channel];
    case "chat_send":
      return [16, message.channel, message.text, message.nonce];
    case "duel_invite":
      return [19, idToBytes(message.user), number(MODES, message.mode), optional(SKILLS, message.skill)];
    case "duel_answer":
      return [20, idToBytes(message.invite), message.accept, optional(SKILLS, message.skill)];
    case "duel_cancel":
      return [30, idToBytes(message.invite), idToBytes(message.user)];
    case "replay_control":
      return [31, idToBytes(message.match), message.tick, message.speedPercent];
    case "read":
      return [18, message.channel, message.offset];
    case "chat_edit":
      return [22, message.channel, message.offset, message.text, message.nonce];
  }
}

class Malformed extends Error {}

/** Reads the fields of one array in order. */
class Fields {
  readonly #items: readonly unknown[];
  #next: number;

  constructor(items: unknown, from = 0) {
    if (!Array.isArray(items)) throw new Malformed();
    this.#items = items;
    this.#next = from;
  }

  #take(): unknown {
    return this.#items[this.#next++];
  }

  int(): number {
    const value = this.#take();
    if (typeof value !== "number" || !Number.isFinite(value)) throw new Malformed();
    return value;
  }

  bool(): boolean {
    const value = this.#take();
    if (typeof value !== "boolean") throw new Malformed();
    return value;
  }

  text(): string {
    const value = this.#take();
    if (typeof value !== "string") throw new Malformed();
    return value;
  }

  id(): Id {
    const value = this.#take();
    if (!(value instanceof Uint8Array) || value.length !== 16) throw new Malformed();
    return idFromBytes(value);
  }

  one<T extends string>(names: readonly T[]): T {
    const name = names[this.int()];
    if (name === undefined) throw new Malformed();
    return name;
  }

  /** What `read` makes of the next field, or null where it is absent. */
  maybe<T>(read: (fields: this) => T): T | null {
    const value = this.#items[this.#next];
    if (value !== null && value !== undefined) return read(this);
    this.#next++;
    return null;
  }

  /** The next field, an array of its own. */
  nested<T>(read: (fields: Fields) => T): T {
    return read(new Fields(this.#take()));
  }

  list<T>(read: (fields: Fields) => T): T[] {
    const items = this.#take();
    if (!Array.isArray(items)) throw new Malformed();
    return items.map((item) => read(new Fields(item)));
  }

  /** Absent: none. */
  ids(): Id[] {
    const items = this.#take() ?? [];
    if (!Array.isArray(items)) throw new Malformed();
    return items.filter((item) => item instanceof Uint8Array && item.length === 16).map(idFromBytes);
  }

  texts(): string[] {
    const items = this.#take();
    if (!Array.isArray(items)) throw new Malformed();
    return items.filter((item) => typeof item === "string");
  }

  pair<T>(read: (fields: Fields) => T): Pair<T> {
    return this.nested((fields) => [read(fields), read(fields)]);
  }
}

const int = (fields: Fields): number => fields.int();
const side = (fields: Fields) => fields.one(SIDES);

const user = (fields: Fields): UserInfo => ({ id: fields.id(), name: fields.text(), guest: fields.bool() });

const player = (fields: Fields): Player => ({
  user: fields.maybe((f) => f.id()),
  name: fields.text(),
  bot: fields.maybe((f) => f.one(LEVELS)),
  skill: fields.maybe((f) => f.one(SKILLS)),
  connected: fields.bool(),
  ready: fields.bool(),
  pausesLeft: fields.int(),
  awayLeftS: fields.int(),
});

const paddle = (fields: Fields): PaddleState => ({ y: fields.int(), dir: Math.sign(fields.int()) as Dir });
const ball = (fields: Fields): BallState => ({
  x: fields.int(),
  y: fields.int(),
  vx: fields.int(),
  vy: fields.int(),
});
const skill = (fields: Fields): SkillState => ({ cooldown: fields.int(), active: fields.int() });
const powerUp = (fields: Fields): PowerUpState => ({
  id: fields.int(),
  kind: fields.one(POWER_UPS),
  x: fields.int(),
  y: fields.int(),
  ticksLeft: fields.int(),
});
const effect = (fields: Fields): EffectState => ({
  kind: fields.one(POWER_UPS),
  side: fields.maybe(side),
  ticksLeft: fields.int(),
});

const snapshot = (fields: Fields): Snapshot => ({
  type: "snapshot",
  match: fields.id(),
  tick: fields.int(),
  clock: fields.int(),
  epoch: fields.int(),
  phase: fields.one(PHASES),
  ack: fields.pair(int),
  paddles: fields.pair((f) => f.nested(paddle)),
  balls: fields.list(ball),
  score: fields.pair(int),
  skills: fields.pair((f) => f.nested(skill)),
  powerUps: fields.list(powerUp),
  effects: fields.list(effect),
});

const gameOver = (fields: Fields): GameOver => ({
  type: "game_over",
  match: fields.id(),
  winner: fields.maybe(side),
  score: fields.pair(int),
  reason: fields.one(END_REASONS),
  ratings: fields.maybe((f) => f.pair((side) => side.pair(int))),
});

const chatMessage = (fields: Fields): ChatMessage => ({
  type: "chat_message",
  channel: fields.text(),
  offset: fields.int(),
  id: fields.id(),
  from: fields.nested(user),
  text: fields.text(),
  sentAt: fields.int(),
  nonce: fields.maybe((f) => f.text()),
  edits: fields.maybe(int),
  mentions: fields.ids(),
});

function fromItems(items: unknown[]): ServerMessage | null {
  const fields = new Fields(items, 1);
  switch (items[0]) {
    case 64:
      return {
        type: "welcome",
        session: fields.id(),
        user: fields.nested(user),
        serverTimeMs: fields.int(),
        tickHz: fields.int(),
        resumed: fields.bool(),
        edge: fields.text(),
        edges: fields.texts(),
        tokenExpiresInS: fields.int(),
        match: fields.maybe((f) => f.id()),
        queue: fields.maybe((f) => f.one(MODES)),
        channels: fields.texts(),
      };
    case 65:
      return { type: "authenticated", tokenExpiresInS: fields.int() };
    case 66:
      return { type: "pong", t: fields.int(), serverTimeMs: fields.int() };
    case 67:
      return {
        type: "error",
        code: fields.text(),
        detail: fields.text(),
        of: fields.maybe((f) => f.text()),
        match: fields.maybe((f) => f.id()),
        until: fields.maybe(int),
      };
    case 68:
      return { type: "queued", mode: fields.one(MODES), waitS: fields.maybe(int) };
    case 69:
      return { type: "queue_left", mode: fields.one(MODES) };
    case 70:
      return {
        type: "match_found",
        match: fields.id(),
        mode: fields.one(MODES),
        side: fields.one(SIDES),
        opponent: fields.maybe((f) => f.nested(user)),
      };
    case 71:
      return {
        type: "match_joined",
        match: fields.id(),
        side: fields.one(PLACES),
        players: fields.pair((f) => f.maybe((g) => g.nested(player))),
        mode: fields.one(MODES),
        phase: fields.one(PHASES),
        snapshot: fields.nested(snapshot),
        classic: fields.bool(),
        scoreToWin: fields.int(),
        private: fields.bool(),
        lastEvent: fields.int(),
        over: fields.maybe((f) => f.nested(gameOver)),
      };
    case 72:
      return snapshot(fields);
    case 73:
      return {
        type: "match_event",
        match: fields.id(),
        tick: fields.int(),
        n: fields.int(),
        event: fields.one(EVENT_KINDS),
        side: fields.maybe(side),
        value: fields.maybe(int),
        y: fields.maybe(int),
        score: fields.maybe((f) => f.pair(int)),
        skill: fields.maybe((f) => f.one(SKILLS)),
        powerUp: fields.maybe((f) => f.one(POWER_UPS)),
      };
    case 74:
      return gameOver(fields);
    case 75:
      return {
        type: "channel_joined",
        channel: fields.text(),
        messages: fields.list(chatMessage),
        recovered: fields.bool(),
        lastOffset: fields.int(),
      };
    case 76:
      return chatMessage(fields);
    case 77:
      return { type: "presence", user: fields.id(), status: fields.one(STATUSES), match: fields.maybe((f) => f.id()) };
    case 79:
      return {
        type: "duel_invited",
        invite: fields.id(),
        from: fields.nested(user),
        mode: fields.one(MODES),
        expiresInS: fields.int(),
      };
    case 80:
      return { type: "duel_answered", invite: fields.id(), accept: fields.bool() };
    case 92:
      return { type: "duel_sent", invite: fields.id(), user: fields.id(), expiresInS: fields.int() };
    case 93:
      return { type: "duel_over", invite: fields.id() };
    case 94:
      return { type: "rematch_wanted", match: fields.id() };
    case 95:
      return {
        type: "replay",
        match: fields.id(),
        of: fields.id(),
        tick: fields.int(),
        ticks: fields.int(),
        speedPercent: fields.int(),
      };
    case 85:
      return {
        type: "notification",
        id: fields.id(),
        kind: fields.text(),
        from: fields.maybe((f) => f.nested(user)),
        subject: fields.maybe((f) => f.id()),
        channel: fields.maybe((f) => f.text()),
        offset: fields.maybe(int),
        text: fields.maybe((f) => f.text()),
        at: fields.int(),
      };
    case 86:
      return {
        type: "group",
        channel: fields.text(),
        change: fields.text(),
        by: fields.nested(user),
        user: fields.maybe((f) => f.id()),
        role: fields.maybe((f) => f.text()),
        until: fields.maybe(int),
        title: fields.maybe((f) => f.text()),
        slowS: fields.maybe(int),
      };
    case 87:
      return { type: "channel_closed", channel: fields.text(), reason: fields.text() };
    case 82:
      return { type: "reconnect", afterMs: fields.int(), reason: fields.text() };
    default:
      return null;
  }
}
