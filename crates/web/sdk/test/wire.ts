// The other end of the wire, for the mock: reads what the page sends, writes what an edge would.

import { decode, encode } from "@msgpack/msgpack";

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
  idFromBytes,
  idToBytes,
  type ChatMessage,
  type ClientMessage,
  type Dir,
  type GameOver,
  type Player,
  type ServerMessage,
  type Snapshot,
  type UserInfo,
} from "../src/protocol/index.ts";

const at = <T extends string>(names: readonly T[], name: T): number => names.indexOf(name);
const maybe = <T, U>(value: T | null, make: (value: T) => U): U | null => (value === null ? null : make(value));

export function write(message: ServerMessage): Uint8Array {
  return encode(items(message));
}

function items(message: ServerMessage): unknown[] {
  switch (message.type) {
    case "welcome":
      return [
        64,
        idToBytes(message.session),
        user(message.user),
        message.serverTimeMs,
        message.tickHz,
        message.resumed,
        message.edge,
        message.edges,
        message.tokenExpiresInS,
        maybe(message.match, idToBytes),
        maybe(message.queue, (mode) => at(MODES, mode)),
        message.channels,
      ];
    case "authenticated":
      return [65, message.tokenExpiresInS];
    case "pong":
      return [66, message.t, message.serverTimeMs];
    case "error":
      return [67, message.code, message.detail, message.of, maybe(message.match, idToBytes), message.until];
    case "queued":
      return [68, at(MODES, message.mode), message.waitS];
    case "queue_left":
      return [69, at(MODES, message.mode)];
    case "match_found":
      return [
        70,
        idToBytes(message.match),
        at(MODES, message.mode),
        at(SIDES, message.side),
        maybe(message.opponent, user),
      ];
    case "match_joined":
      return [
        71,
        idToBytes(message.match),
        at(PLACES, message.side),
        message.players.map((seat) => maybe(seat, player)),
        at(MODES, message.mode),
        at(PHASES, message.phase),
        snapshot(message.snapshot),
        message.classic,
        message.scoreToWin,
        message.private,
        message.lastEvent,
        maybe(message.over, over),
      ];
    case "snapshot":
      return [72, ...snapshot(message)];
    case "match_event":
      return [
        73,
        idToBytes(message.match),
        message.tick,
        message.n,
        at(EVENT_KINDS, message.event),
        maybe(message.side, (side) => at(SIDES, side)),
        message.value,
        message.y,
        message.score,
        maybe(message.skill, (skill) => at(SKILLS, skill)),
        maybe(message.powerUp, (kind) => at(POWER_UPS, kind)),
      ];
    case "game_over":
      return [74, ...over(message)];
    case "channel_joined":
      return [75, message.channel, message.messages.map(chat), message.recovered, message.lastOffset];
    case "chat_message":
      return [76, ...chat(message)];
    case "presence":
      return [77, idToBytes(message.user), at(STATUSES, message.status), maybe(message.match, idToBytes)];
    case "duel_invited":
      return [79, idToBytes(message.invite), user(message.from), at(MODES, message.mode), message.expiresInS];
    case "duel_answered":
      return [80, idToBytes(message.invite), message.accept];
    case "duel_sent":
      return [92, idToBytes(message.invite), idToBytes(message.user), message.expiresInS];
    case "duel_over":
      return [93, idToBytes(message.invite)];
    case "rematch_wanted":
      return [94, idToBytes(message.match)];
    case "replay":
      return [95, idToBytes(message.match), idToBytes(message.of), message.tick, message.ticks, message.speedPercent];
    case "notification":
      return [
        85,
        idToBytes(message.id),
        message.kind,
        maybe(message.from, user),
        maybe(message.subject, idToBytes),
        message.channel,
        message.offset,
        message.text,
        message.at,
      ];
    case "group":
      return [
        86,
        message.channel,
        message.change,
        user(message.by),
        maybe(message.user, idToBytes),
        message.role,
        message.until,
        message.title,
        message.slowS,
      ];
    case "channel_closed":
      return [87, message.channel, message.reason];
    case "reconnect":
      return [82, message.afterMs, message.reason];
  }
}

function chat(message: ChatMessage): unknown[] {
  return [
    message.channel,
    message.offset,
    idToBytes(message.id),
    user(message.from),
    message.text,
    message.sentAt,
    message.nonce,
    message.edits,
    message.mentions.map(idToBytes),
  ];
}

function user({ id, name, guest }: UserInfo): unknown[] {
  return [idToBytes(id), name, guest];
}

function player(player: Player): unknown[] {
  return [
    maybe(player.user, idToBytes),
    player.name,
    maybe(player.bot, (level) => at(LEVELS, level)),
    maybe(player.skill, (skill) => at(SKILLS, skill)),
    player.connected,
    player.ready,
    player.pausesLeft,
    player.awayLeftS,
  ];
}

function snapshot(snapshot: Snapshot): unknown[] {
  return [
    idToBytes(snapshot.match),
    snapshot.tick,
    snapshot.clock,
    snapshot.epoch,
    at(PHASES, snapshot.phase),
    snapshot.ack,
    snapshot.paddles.map(({ y, dir }) => [Math.round(y), dir]),
    snapshot.balls.map(({ x, y, vx, vy }) => [x, y, vx, vy].map(Math.round)),
    snapshot.score,
    snapshot.skills.map(({ cooldown, active }) => [cooldown, active]),
    snapshot.powerUps.map(({ id, kind, x, y, ticksLeft }) => [id, at(POWER_UPS, kind), x, y, ticksLeft]),
    snapshot.effects.map(({ kind, side, ticksLeft }) => [
      at(POWER_UPS, kind),
      maybe(side, (side) => at(SIDES, side)),
      ticksLeft,
    ]),
  ];
}

function over(over: GameOver): unknown[] {
  return [
    idToBytes(over.match),
    maybe(over.winner, (side) => at(SIDES, side)),
    over.score,
    at(END_REASONS, over.reason),
    over.ratings,
  ];
}

export function read(frame: Uint8Array): ClientMessage {
  const [number, ...f] = decode(frame) as [number, ...unknown[]];
  const match = () => idFromBytes(f[0] as Uint8Array);
  const skill = (i: number) => (f[i] == null ? null : SKILLS[f[i] as number]!);
  switch (number) {
    case 1: {
      const resume = f[1] as [Uint8Array, []] | null;
      return { type: "hello", token: f[0] as string, resume: resume && { session: idFromBytes(resume[0]), channels: [] } };
    }
    case 2:
      return { type: "auth", token: f[0] as string };
    case 3:
      return { type: "ping", t: f[0] as number };
    case 4:
      return { type: "queue_join", mode: MODES[f[0] as number]!, skill: skill(1) };
    case 5:
      return { type: "queue_leave" };
    case 6:
      return { type: "match_join", match: match(), as: JOIN_AS[f[1] as number]!, skill: skill(2) };
    case 7:
      return { type: "match_leave", match: match() };
    case 8:
      return { type: "ready", match: match() };
    case 9:
      return { type: "pause", match: match() };
    case 10:
      return { type: "resume", match: match() };
    case 11:
      return { type: "forfeit", match: match() };
    case 12:
      return { type: "rematch", match: match(), skill: skill(1) };
    case 13:
      return {
        type: "input",
        match: match(),
        seq: f[1] as number,
        dir: f[2] as Dir,
        press: f[3] as boolean,
        side: f[4] == null ? null : SIDES[f[4] as number]!,
      };
    case 14:
      return { type: "channel_join", channel: f[0] as string, since: f[1] as number | null };
    case 15:
      return { type: "channel_leave", channel: f[0] as string };
    case 16:
      return { type: "chat_send", channel: f[0] as string, text: f[1] as string, nonce: f[2] as string };
    case 19:
      return { type: "duel_invite", user: match(), mode: MODES[f[1] as number]!, skill: skill(2) };
    case 20:
      return { type: "duel_answer", invite: match(), accept: f[1] as boolean, skill: skill(2) };
    case 30:
      return { type: "duel_cancel", invite: match(), user: idFromBytes(f[1] as Uint8Array) };
    case 31:
      return {
        type: "replay_control",
        match: match(),
        tick: f[1] as number | null,
        speedPercent: f[2] as number | null,
      };
    case 18:
      return { type: "read", channel: f[0] as string, offset: f[1] as number };
    case 22:
      return {
        type: "chat_edit",
        channel: f[0] as string,
        offset: f[1] as number,
        text: f[2] as string,
        nonce: f[3] as string,
      };
    default:
      throw new RangeError(`no client message has number ${number}`);
  }
}
