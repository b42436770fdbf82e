// A match as this page sees it: joined, rejoined after each reconnect, and left at the end.
//
// Two faces. `ui` is a signal that changes when something happens, for what is written around the field. `frame` is
// asked at display rate for the field as it is to be drawn now, and hands out what happened since the last frame.

import { signal, type ReadonlySignal } from "@preact/signals";

import {
  type Connection,
  type Dir,
  type GameOver,
  type Id,
  type JoinAs,
  type MatchEvent,
  type MatchJoined,
  type Mode,
  type Pair,
  type Phase,
  type Place,
  type Player,
  type ReplayState,
  type ServerMessage,
  type Side,
  type SideIndex,
  SIDES,
  type Skill,
  type Snapshot,
} from "rally-sdk";
import { SnapshotClock, type Link } from "./clock.ts";
import { PaddlePrediction } from "./prediction.ts";
import { POSITION_SCALE, TICK_MS, paddleSpeed } from "./rules.ts";
import { Timeline, type Field } from "./timeline.ts";

export interface Refusal {
  code: string;
  detail: string;
}

/** Who is away, and until when (local clock, ms). */
export type Absence = { untilMs: number } | null;

/** Where a replay stood when it was last told. */
export interface Replay {
  of: Id;
  tick: number;
  ticks: number;
  speedPercent: number;
  atMs: number;
}

export interface MatchUi {
  joined: boolean;
  /** The cluster could not let one in just now, and is asked again. */
  retrying: boolean;
  refusal: Refusal | null;
  place: Place;
  players: Pair<Player | null>;
  mode: Mode;
  classic: boolean;
  private: boolean;
  scoreToWin: number;
  phase: Phase;
  score: Pair<number>;
  /** Who paused; null for an absence, or when nobody did. */
  pausedBy: Side | null;
  away: Pair<Absence>;
  /** This page's own connection is gone: until when its player's seat is kept. */
  seatKept: Absence;
  /** The match is over, its result not recorded yet. */
  recording: boolean;
  over: GameOver | null;
  /** Not a match that is played, but one that is shown again. */
  replay: Replay | null;
  /** Why the last wish (a pause, say) was not granted. */
  note: { text: string; atMs: number } | null;
}

export interface Frame {
  field: Field;
  /** What happened between the last frame and this one, in order. */
  events: MatchEvent[];
}

const NOBODY: MatchUi = {
  joined: false,
  retrying: false,
  refusal: null,
  place: "spectator",
  players: [null, null],
  mode: "casual",
  classic: false,
  private: false,
  scoreToWin: 11,
  phase: "waiting",
  score: [0, 0],
  pausedBy: null,
  away: [null, null],
  seatKept: null,
  recording: false,
  over: null,
  replay: null,
  note: null,
};

const WISHES = ["ready", "pause", "resume", "forfeit", "replay_control"];

/** An event whose moment was missed by more is not shown any more, only its outcome. */
const STALE_TICKS = 90;
const REJOIN_PAUSE_MS = 1000;

/** Refusals that pass: the match goes on, and whoever has a seat in it must come back. */
const PASSING = ["unavailable", "at_capacity", "rate_limited"];
const RETRY_MS = 400;
const RETRY_MS_MAX = 4000;

export class Match {
  readonly id: Id;
  readonly #connection: Connection;
  readonly as: JoinAs;
  readonly #skill: Skill | null;
  readonly #ui = signal<MatchUi>(NOBODY);
  readonly #clock = new SnapshotClock();
  readonly #timeline = new Timeline();
  #predictions: Pair<PaddlePrediction | null> = [null, null];
  #held: Pair<Dir> = [0, 0];
  #pending: MatchEvent[] = [];
  #lastEvent = 0;
  #shownTick = -1;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #retries = 0;
  #rejoinedMs = -REJOIN_PAUSE_MS;
  #heardMs: number | null = null;

  constructor(connection: Connection, id: Id, as: JoinAs, skill: Skill | null) {
    this.#connection = connection;
    this.id = id;
    this.as = as;
    this.#skill = skill;
  }

  get ui(): ReadonlySignal<MatchUi> {
    return this.#ui;
  }

  /** To call at each `live` of the connection, and once if it is live already. */
  join(): void {
    clearTimeout(this.#retry);
    this.#heardMs ??= performance.now();
    this.#connection.setInMatch(true);
    this.#connection.send({ type: "match_join", match: this.id, as: this.as, skill: this.#skill });
  }

  leave(): void {
    this.#connection.setInMatch(false);
    clearTimeout(this.#retry);
    // Also before `match_joined` has come: the server lets one in all the same. Nobody in a match that refused is in it.
    if (this.#ui.value.refusal === null) this.#connection.send({ type: "match_leave", match: this.id });
  }

  ready(): void {
    this.#connection.send({ type: "ready", match: this.id });
  }

  /** Or goes on. Only players can. */
  pause(): void {
    if (this.sides.length === 0 || this.#ui.value.over !== null) return;
    this.#connection.send({ type: this.#ui.value.phase === "paused" ? "resume" : "pause", match: this.id });
  }

  forfeit(): void {
    this.#connection.send({ type: "forfeit", match: this.id });
  }

  /** The sides that are played here. */
  get sides(): SideIndex[] {
    const { place } = this.#ui.value;
    return place === "both" ? [0, 1] : place === "left" ? [0] : place === "right" ? [1] : [];
  }

  /** Holds a direction from now on. */
  hold(side: SideIndex, dir: Dir, nowMs: number): void {
    if (this.#held[side] === dir) return;
    this.#held[side] = dir;
    this.#input(side, false, nowMs);
  }

  /** The skill key went down. Whether it counts, as far as is known here. */
  press(side: SideIndex, nowMs: number): boolean {
    const counts = this.#predictions[side]?.skillReady(nowMs) ?? false;
    this.#input(side, true, nowMs);
    return counts;
  }

  #input(side: SideIndex, press: boolean, nowMs: number): void {
    const prediction = this.#predictions[side];
    const { joined, over, place } = this.#ui.value;
    if (prediction === null || !joined || over !== null || this.#connection.state.kind !== "live") return;
    this.#connection.send({
      type: "input",
      match: this.id,
      seq: prediction.send(this.#held[side], press, nowMs),
      dir: this.#held[side],
      press,
      side: place === "both" ? SIDES[side] : null,
    });
  }

  /** The connection is gone; the field goes on standing. */
  lost(nowMs: number): void {
    clearTimeout(this.#retry);
    this.#heardMs = null;
    this.#retries = 0;
    const { joined, phase, players, seatKept } = this.#ui.value;
    const mine = this.sides.length === 1 && phase !== "waiting" ? players[this.sides[0]!] : null;
    // Further attempts that fail begin no new absence.
    const kept = joined && mine ? { untilMs: nowMs + mine.awayLeftS * 1000 } : seatKept;
    this.#set({ joined: false, retrying: false, seatKept: kept });
  }

  #refused({ code, detail }: Refusal): void {
    if (!PASSING.includes(code)) return this.#set({ refusal: { code, detail } });
    this.#set({ joined: false, retrying: true });
    const waitMs = Math.min(RETRY_MS * 2 ** this.#retries++, RETRY_MS_MAX);
    clearTimeout(this.#retry);
    // Not all at the same moment: what passes, passes for everybody at once.
    this.#retry = setTimeout(() => this.join(), waitMs * (0.5 + Math.random()));
  }

  take(message: ServerMessage, nowMs: number): void {
    switch (message.type) {
      case "match_joined":
        if (message.match === this.id) this.#joined(message, nowMs);
        break;
      case "snapshot":
        if (message.match === this.id) this.#snapshot(message, nowMs);
        break;
      case "match_event":
        if (message.match === this.id) this.#event(message, nowMs);
        break;
      case "game_over":
        if (message.match === this.id) this.#set({ over: message, score: message.score, recording: false });
        break;
      case "replay":
        if (message.match === this.id) this.#stands(message, nowMs);
        break;
      case "error":
        if (message.match !== null && message.match !== this.id) break;
        // Not asked for: the match is nowhere any more.
        if (message.of === "match_join" || (message.of === null && message.match !== null)) this.#refused(message);
        if (WISHES.includes(message.of ?? "")) this.#set({ note: { text: message.detail, atMs: nowMs } });
        break;
    }
  }

  #joined(joined: MatchJoined, nowMs: number): void {
    this.#retries = 0;
    const skills = joined.players.map((player) => player?.skill ?? null);
    this.#predictions = [new PaddlePrediction(skills[0] ?? null), new PaddlePrediction(skills[1] ?? null)];
    this.#pending = this.#pending.filter((event) => event.n <= joined.lastEvent);
    this.#lastEvent = joined.lastEvent;
    this.#clock.reset();
    this.#timeline.reset();
    this.#set({
      joined: true,
      retrying: false,
      seatKept: null,
      refusal: null,
      place: joined.side,
      players: joined.players,
      mode: joined.mode,
      classic: joined.classic,
      private: joined.private,
      scoreToWin: joined.scoreToWin,
      phase: joined.phase,
      score: joined.over?.score ?? joined.snapshot.score,
      pausedBy: null,
      away: [absence(joined, 0, nowMs), absence(joined, 1, nowMs)],
      recording: joined.phase === "finished" && joined.over === null,
      over: joined.over,
    });
    this.#snapshot(joined.snapshot, nowMs);
    // Sitting down is being ready: the other is waited for, not a click.
    if (joined.phase === "waiting" && this.sides.some((side) => joined.players[side]?.ready === false)) this.ready();
    for (const side of this.sides) if (this.#held[side] !== 0) this.#input(side, false, nowMs);
  }

  /** For how long nothing has been seen of it, over a connection that stands. */
  silentMs(nowMs: number): number {
    return this.#heardMs === null ? 0 : nowMs - this.#heardMs;
  }

  #snapshot(snapshot: Snapshot, nowMs: number): void {
    this.#heardMs = nowMs;
    this.#clock.arrived(snapshot.tick, nowMs);
    if (!this.#timeline.push(snapshot) || this.#timeline.newest !== snapshot) return;
    const speed = paddleSpeed(snapshot.balls);
    for (const side of [0, 1] as const) {
      this.#predictions[side]?.confirm(
        {
          ack: snapshot.ack[side],
          y: snapshot.paddles[side].y / POSITION_SCALE,
          dir: snapshot.paddles[side].dir,
          speed,
          cooldown: snapshot.skills[side].cooldown,
          active: snapshot.skills[side].active,
          atMs: Math.min(nowMs, (this.#clock.offsetMs ?? 0) + snapshot.tick * TICK_MS),
          playing: snapshot.phase === "playing",
        },
        nowMs,
      );
    }
  }

  #event(event: MatchEvent, nowMs: number): void {
    if (event.n <= this.#lastEvent) return;
    this.#lastEvent = event.n;
    this.#pending.push(event);
    const side = event.side === null ? null : (SIDES.indexOf(event.side) as SideIndex);
    const { away, players } = this.#ui.value;
    switch (event.event) {
      case "ready":
        if (side !== null) this.#player(side, { ready: true, connected: true });
        break;
      case "away":
        if (side === null) break;
        this.#player(side, { connected: false, awayLeftS: event.value ?? 0 });
        this.#set({ away: replaced(away, side, { untilMs: nowMs + (event.value ?? 0) * 1000 }) });
        break;
      case "back":
        if (side === null) break;
        this.#player(side, { connected: true, awayLeftS: event.value ?? 0 });
        this.#set({ away: replaced(away, side, null) });
        break;
      case "paused":
        if (side !== null) this.#player(side, { pausesLeft: event.value ?? 0 });
        this.#set({ pausedBy: event.side });
        break;
      case "resumed":
        this.#set({ pausedBy: null });
        break;
      case "result_pending":
        this.#set({ recording: this.#ui.value.over === null });
        break;
    }
    // Somebody took the open seat: only the whole picture says who.
    const stranger = side !== null && players[side] === null;
    if (stranger && nowMs - this.#rejoinedMs > REJOIN_PAUSE_MS) {
      this.#rejoinedMs = nowMs;
      this.join();
    }
  }

  #stands({ of, tick, ticks, speedPercent }: ReplayState, nowMs: number): void {
    const { replay } = this.#ui.value;
    const leap = LEAP_TICKS * Math.max(1, (replay?.speedPercent ?? 0) / 100);
    const leapt = replay !== null && Math.abs(tick - tickOf(replay, nowMs)) > leap;
    this.#set({ replay: { of, tick, ticks, speedPercent, atMs: nowMs }, recording: false });
    // What was going on elsewhere in the match is not going on here.
    if (leapt) {
      this.#pending = [];
      this.#set({ away: [null, null], pausedBy: null });
    }
  }

  /** Of a replay: goes on from there, or at another speed. */
  direct(tick: number | null, speedPercent: number | null): void {
    this.#connection.send({ type: "replay_control", match: this.id, tick, speedPercent });
  }

  /** The field to draw at `nowMs`; null before the first snapshot. */
  frame(nowMs: number): Frame | null {
    const tick = this.#clock.tickAt(nowMs);
    const field = tick === null ? null : this.#timeline.at(tick);
    if (tick === null || field === null) return null;
    for (const side of this.sides) field.paddles[side] = this.#predictions[side]?.at(nowMs) ?? field.paddles[side];

    const events: MatchEvent[] = [];
    while (this.#pending[0] && this.#pending[0].tick <= tick) {
      const event = this.#pending.shift()!;
      if (event.tick >= tick - STALE_TICKS) events.push(event);
    }
    if (field.snapshot.tick !== this.#shownTick) {
      this.#shownTick = field.snapshot.tick;
      const { phase, score, over } = this.#ui.value;
      const next = field.snapshot;
      const changed = next.phase !== phase || next.score[0] !== score[0] || next.score[1] !== score[1];
      // The result is the last word, also where its goal has no snapshot any more.
      if (changed && over === null) this.#set({ phase: next.phase, score: next.score });
    }
    return { field, events };
  }

  link(nowMs: number): Link {
    return this.#clock.link(nowMs);
  }

  #player(side: SideIndex, change: Partial<Player>): void {
    const player = this.#ui.value.players[side];
    if (player) this.#set({ players: replaced(this.#ui.value.players, side, { ...player, ...change }) });
  }

  #set(change: Partial<MatchUi>): void {
    this.#ui.value = { ...this.#ui.value, ...change };
  }
}

/** A seek, and not a word that came late. */
const LEAP_TICKS = 90;

/** Where a replay is by now. */
export function tickOf({ tick, ticks, speedPercent, atMs }: Replay, nowMs: number): number {
  return Math.min(tick + ((nowMs - atMs) / TICK_MS) * (speedPercent / 100), ticks);
}

function replaced<T>(pair: Pair<T>, side: SideIndex, value: T): Pair<T> {
  return side === 0 ? [value, pair[1]] : [pair[0], value];
}

function absence(joined: MatchJoined, side: SideIndex, nowMs: number): Absence {
  const player = joined.players[side];
  const gone = player !== null && !player.connected && joined.phase !== "waiting" && joined.over === null;
  return gone ? { untilMs: nowMs + player.awayLeftS * 1000 } : null;
}
