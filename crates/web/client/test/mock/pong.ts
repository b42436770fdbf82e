// A match for the mock server: enough of the rules to look like one. The real ones are in the crate `sim`.

import {
  SIDES,
  type BallState,
  type ClientMessage,
  type Dir,
  type EffectState,
  type EndReason,
  type EventKind,
  type GameOver,
  type Id,
  type MatchEvent,
  type MatchJoined,
  type Mode,
  type Pair,
  type Phase,
  type Place,
  type Player,
  type PowerUpState,
  type ServerMessage,
  type SideIndex,
  type Skill,
  type Snapshot,
} from "rally-sdk";
import { COOLDOWN_TICKS, HEIGHT, WIDTH, clamp, paddleSpeed } from "../../src/game/rules.ts";

export interface Viewer {
  place: Place;
  user: Id;
  send(message: ServerMessage): void;
}

interface Paddle {
  y: number;
  dir: Dir;
  ack: number;
  cooldown: number;
  active: number;
}

const newPaddle = (): Paddle => ({ y: HEIGHT / 2, dir: 0, ack: 0, cooldown: 0, active: 0 });

export class MockMatch {
  readonly id: Id;
  readonly mode: Mode;
  readonly classic: boolean;
  readonly scoreToWin: number;
  readonly private: boolean;
  players: Pair<Player | null>;
  viewers = new Set<Viewer>();
  phase: Phase = "waiting";
  tick = 0;
  clock = 0;
  paddles: Pair<Paddle> = [newPaddle(), newPaddle()];
  balls: BallState[] = [];
  score: Pair<number> = [0, 0];
  powerUps: PowerUpState[] = [];
  effects: EffectState[] = [];
  over: GameOver | null = null;
  /** Sides that play by themselves. */
  bots: SideIndex[] = [];
  #n = 0;
  #countdown = 0;
  #serves = 0;

  constructor(id: Id, mode: Mode, players: Pair<Player | null>, options: { classic: boolean; scoreToWin: number }) {
    this.id = id;
    this.mode = mode;
    this.players = players;
    this.private = mode === "duel";
    this.classic = options.classic;
    this.scoreToWin = options.scoreToWin;
    this.bots = ([0, 1] as const).filter((side) => players[side]?.bot != null);
  }

  join(viewer: Viewer): void {
    for (const side of this.#sides(viewer.place)) {
      Object.assign(this.paddles[side], { ack: 0, dir: 0 });
      if (!this.players[side]!.connected && this.phase !== "waiting") this.event("back", { side, value: 27 });
      this.players[side]!.connected = true;
    }
    this.viewers.add(viewer);
    viewer.send(this.picture(viewer.place));
  }

  leave(viewer: Viewer): void {
    if (!this.viewers.delete(viewer) || this.over !== null) return;
    for (const side of this.#sides(viewer.place)) {
      this.players[side]!.connected = false;
      this.paddles[side].dir = 0;
      if (this.phase !== "waiting") {
        this.event("away", { side, value: 27 });
        this.phase = "paused";
      }
    }
  }

  command(viewer: Viewer, message: ClientMessage): void {
    const [side] = this.#sides(viewer.place);
    if (side === undefined || this.over !== null) return;
    switch (message.type) {
      case "ready":
        for (const own of this.#sides(viewer.place)) {
          this.players[own]!.ready = true;
          this.event("ready", { side: own });
        }
        if (this.players.every((player) => player?.ready)) this.#count();
        break;
      case "pause":
        if (this.phase !== "playing") break;
        this.phase = "paused";
        this.event("paused", { side, value: --this.players[side]!.pausesLeft });
        break;
      case "resume":
        if (this.phase !== "paused") break;
        this.event("resumed", { side });
        this.#count();
        break;
      case "forfeit":
        this.end(side === 0 ? 1 : 0, "forfeit");
        break;
      case "input": {
        const own = message.side === null ? side : (SIDES.indexOf(message.side) as SideIndex);
        const paddle = this.paddles[own];
        if (message.seq <= paddle.ack) break;
        paddle.ack = message.seq;
        paddle.dir = message.dir;
        if (message.press) this.press(own);
        break;
      }
    }
  }

  press(side: SideIndex): void {
    const paddle = this.paddles[side];
    const skill = this.players[side]?.skill ?? null;
    if (skill === null || paddle.cooldown > 0 || this.phase !== "playing") return;
    paddle.cooldown = COOLDOWN_TICKS[skill];
    paddle.active = skill === "smash" ? 12 : 18;
    this.event("skill", { side, skill });
  }

  step(): void {
    this.tick++;
    if (this.phase === "countdown") {
      if (this.#countdown % 60 === 0 && this.#countdown > 0) this.event("countdown", { value: this.#countdown / 60 });
      if (this.#countdown-- === 0) {
        this.phase = "playing";
        this.event("go", {});
      }
    }
    if (this.phase === "playing") this.#play();
    if (this.phase !== "finished") this.#all(this.snapshot());
  }

  #play(): void {
    this.clock += 4;
    if (this.balls.length === 0) this.serve();
    const speed = paddleSpeed(this.balls);
    for (const side of [0, 1] as const) {
      const paddle = this.paddles[side];
      if (this.bots.includes(side)) paddle.dir = this.#steer(side);
      const fast = paddle.active > 0 && this.players[side]?.skill === "dash" ? 2000 : speed;
      paddle.y = clamp(paddle.y + (paddle.dir * fast) / 60, 50, HEIGHT - 50);
      paddle.cooldown = Math.max(0, paddle.cooldown - 1);
      paddle.active = Math.max(0, paddle.active - 1);
    }
    this.powerUps = this.powerUps.filter((powerUp) => powerUp.ticksLeft-- > 0);
    this.effects = this.effects.filter((effect) => effect.ticksLeft-- > 0);
    for (const ball of [...this.balls]) this.#fly(ball);
  }

  #fly(ball: BallState): void {
    ball.x += ball.vx / 60;
    ball.y += ball.vy / 60;
    if (ball.y < 15) [ball.y, ball.vy] = [15, Math.abs(ball.vy)];
    if (ball.y > HEIGHT - 15) [ball.y, ball.vy] = [HEIGHT - 15, -Math.abs(ball.vy)];
    for (const side of [0, 1] as const) {
      const comes = side === 0 ? ball.vx < 0 && ball.x <= 60 && ball.x > 15 : ball.vx > 0 && ball.x >= WIDTH - 60 && ball.x < WIDTH - 15;
      const paddle = this.paddles[side];
      if (!comes || Math.abs(ball.y - paddle.y) > 65) continue;
      const smash = paddle.active > 0 && this.players[side]?.skill === "smash" ? 1.2 : 1;
      const speed = Math.min(1500, Math.hypot(ball.vx, ball.vy) * 1.05 * smash);
      const angle = (clamp((ball.y - paddle.y) / 50, -1, 1) * Math.PI) / 4;
      ball.vx = Math.cos(angle) * speed * (side === 0 ? 1 : -1);
      ball.vy = Math.sin(angle) * speed;
      this.event("hit", { side, value: Math.round(speed), y: Math.round(ball.y * 16) });
    }
    if (ball.x > -15 && ball.x < WIDTH + 15) return;
    this.balls = this.balls.filter((other) => other !== ball);
    const side: SideIndex = ball.x > 0 ? 0 : 1;
    this.score[side]++;
    this.event("goal", { side, y: Math.round(ball.y * 16), score: [...this.score] });
    if (this.score[side] >= this.scoreToWin) this.end(side, "score");
  }

  serve(): void {
    this.balls = [{ x: WIDTH / 2, y: HEIGHT / 2, vx: this.#serves++ % 2 === 0 ? 600 : -600, vy: 0 }];
  }

  #steer(side: SideIndex): Dir {
    const comes = this.balls.find((ball) => (side === 0 ? ball.vx < 0 : ball.vx > 0));
    const wanted = comes ? comes.y + 30 * Math.sin(this.tick / 50) : HEIGHT / 2;
    const away = wanted - this.paddles[side].y;
    return Math.abs(away) < 14 ? 0 : away < 0 ? -1 : 1;
  }

  end(winner: SideIndex, reason: EndReason): void {
    this.phase = "finished";
    this.event("result_pending", {});
    this.over = {
      type: "game_over",
      match: this.id,
      winner: SIDES[winner],
      score: [...this.score],
      reason,
      ratings: this.mode === "ranked" ? [[1500, 1512], [1500, 1488]] : null,
    };
    this.#all(this.over);
  }

  event(event: EventKind, fields: Omit<Partial<MatchEvent>, "side"> & { side?: SideIndex }): void {
    const { side, ...rest } = fields;
    this.#all({
      type: "match_event",
      match: this.id,
      tick: this.tick,
      n: ++this.#n,
      event,
      value: null,
      y: null,
      score: null,
      skill: null,
      powerUp: null,
      ...rest,
      side: side === undefined ? null : SIDES[side],
    });
  }

  picture(place: Place): MatchJoined {
    return {
      type: "match_joined",
      match: this.id,
      side: place,
      players: this.players,
      mode: this.mode,
      phase: this.phase,
      snapshot: this.snapshot(),
      classic: this.classic,
      scoreToWin: this.scoreToWin,
      private: this.private,
      lastEvent: this.#n,
      over: this.over,
    };
  }

  snapshot(): Snapshot {
    const both = <T>(make: (paddle: Paddle) => T): Pair<T> => [make(this.paddles[0]), make(this.paddles[1])];
    return {
      type: "snapshot",
      match: this.id,
      tick: this.tick,
      clock: this.clock,
      epoch: 1,
      phase: this.phase,
      ack: both((paddle) => paddle.ack),
      paddles: both((paddle) => ({ y: paddle.y * 16, dir: paddle.dir })),
      balls: this.balls.map(({ x, y, vx, vy }) => ({ x: x * 16, y: y * 16, vx, vy })),
      score: [...this.score],
      skills: both(({ cooldown, active }) => ({ cooldown, active })),
      powerUps: this.powerUps,
      effects: this.effects,
    };
  }

  #count(): void {
    this.phase = "countdown";
    this.#countdown = 180;
  }

  #sides(place: Place): SideIndex[] {
    return place === "both" ? [0, 1] : place === "left" ? [0] : place === "right" ? [1] : [];
  }

  #all(message: ServerMessage): void {
    for (const viewer of this.viewers) viewer.send(message);
  }
}

export function person(user: Id, name: string, skill: Skill | null): Player {
  return { user, name, bot: null, skill, connected: false, ready: false, pausesLeft: 3, awayLeftS: 30 };
}
