// One WebSocket to the cluster that comes back by itself.
//
// A state machine around at most one live socket: connect, `hello`, `welcome`, pings, and again. It knows nothing of
// matches but whether one is on (then pings and patience are short); whoever uses it joins its match at each `live`.
// Time, randomness and sockets come from an `Env`, so that tests need none of them.
//
// - After a lost or refused connection it waits (see backoff.ts) and tries the next of the edges that `welcome` named,
//   in an order drawn at random: the people of an edge that died must not all go to the same one.
// - After `reconnect` it leaves when told to, for another edge if it knows one.
// - After close codes 4401 and 4409 it stays away: `stopped`.

import { CLOSE, SUBPROTOCOL, decode, encode, type ClientMessage, type ServerMessage, type Welcome } from "./protocol/index.ts";
import { backoffMs } from "./backoff.ts";
import { Rtt } from "./rtt.ts";

/** The part of `WebSocket` that is used. */
export interface Socket {
  binaryType: string;
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(bytes: Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

export interface Env {
  /** Monotonic, in ms. */
  now(): number;
  random(): number;
  /** Calls back once; the result cancels. */
  after(ms: number, run: () => void): () => void;
  open(url: string, subprotocol: string): Socket;
}

/** Where access tokens come from. */
export interface Tokens {
  /**
   * One that is valid for a while yet, for the edge at `origin`. Rejects with `TokenRefused` if there will be none, with
   * anything else if it may be tried again.
   */
  fresh(origin: string, leastS: number): Promise<string>;
}

/** Signing in is over: the person must give a name again. */
export class TokenRefused extends Error {}

export type StopReason = "seat_taken" | "unauthenticated" | "closed";

export type ConnectionState =
  | { kind: "connecting"; attempt: number }
  | { kind: "live"; welcome: Welcome }
  | { kind: "waiting"; attempt: number; untilMs: number }
  | { kind: "stopped"; reason: StopReason };

const WELCOME_WITHIN_MS = 5000;
/** A token is replaced this long before it ends. */
const TOKEN_SPARE_S = 60;
const TOKEN_RETRY_MS = 5000;
/** A timer that comes this late says that the page slept, not that the link is dead. */
const SLEPT_MS = 500;

type Timer = "next" | "ping" | "dead" | "token" | "welcome";

/** Pings and patience. */
const IN_MATCH = { pingMs: 1000, deadMs: 2000 };
const AT_REST = { pingMs: 30_000, deadMs: 60_000 };

export class Connection {
  readonly #env: Env;
  readonly #tokens: Tokens;
  /** This page's own origin, which is never forgotten. */
  readonly #home: string;
  /** Origins to try, the one in use first. */
  #origins: string[];
  #origin = 0;
  /** Told to leave: the next origin is chosen already. */
  #leaving = false;
  #attempt = 0;
  #socket: Socket | null = null;
  #session: string | null = null;
  #state: ConnectionState = { kind: "stopped", reason: "closed" };
  #inMatch = false;
  #heardMs = 0;
  /** Do not come back before this. */
  #notBeforeMs = 0;
  /** Rises with each attempt, so that what was asked for an earlier one is not taken for this one. */
  #life = 0;
  #cancels = new Map<Timer, () => void>();
  #rtt = new Rtt();

  onState: (state: ConnectionState) => void = () => {};
  onMessage: (message: ServerMessage, nowMs: number) => void = () => {};

  constructor(env: Env, tokens: Tokens, origin: string) {
    this.#env = env;
    this.#tokens = tokens;
    this.#home = origin;
    this.#origins = [origin];
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Of the edge in use, or to be tried next: the one that served the page may be gone. */
  get origin(): string {
    return this.#origins[this.#origin % this.#origins.length]!;
  }

  /** The way there and back in ms; null before the first pong. */
  get rttMs(): number | null {
    return this.#rtt.ms;
  }

  /** Begins, also after a stop. No effect while it is at it. */
  start(): void {
    if (this.#state.kind !== "stopped") return;
    this.#attempt = 0;
    this.#connect();
  }

  /** Ends, until `start`. */
  stop(reason: StopReason = "closed"): void {
    this.#drop(CLOSE.normal);
    this.#cancelAll();
    this.#become({ kind: "stopped", reason });
  }

  /** Tries at once instead of waiting on: the network is back. */
  hurry(): void {
    if (this.#state.kind === "waiting" && this.#env.now() >= this.#notBeforeMs) this.#connect();
  }

  /** Ends and forgets who one was. */
  forget(): void {
    this.#session = null;
    this.stop();
  }

  /** In a match one pings each second, and two silent seconds are a dead link. */
  setInMatch(inMatch: boolean): void {
    if (this.#inMatch === inMatch) return;
    this.#inMatch = inMatch;
    if (this.#state.kind !== "live") return;
    this.#heardMs = this.#env.now();
    this.#ping();
    this.#watch();
  }

  /** False when there is no live connection: the message is gone. */
  send(message: ClientMessage): boolean {
    if (this.#state.kind !== "live" || this.#socket === null) return false;
    this.#socket.send(encode(message));
    return true;
  }

  #connect(): void {
    this.#cancelAll();
    this.#drop(CLOSE.normal);
    const life = ++this.#life;
    this.#leaving = false;
    this.#attempt++;
    this.#become({ kind: "connecting", attempt: this.#attempt });
    const origin = this.#origins[this.#origin % this.#origins.length]!;
    this.#tokens.fresh(origin, TOKEN_SPARE_S).then(
      (token) => {
        if (life === this.#life && this.#state.kind === "connecting") this.#open(origin, token);
      },
      (error: unknown) => {
        if (life !== this.#life || this.#state.kind !== "connecting") return;
        if (error instanceof TokenRefused) this.stop("unauthenticated");
        else this.#lost();
      },
    );
  }

  #open(origin: string, token: string): void {
    const socket = this.#env.open(socketUrl(origin), SUBPROTOCOL);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#later("welcome", WELCOME_WITHIN_MS, () => this.#lost());
    socket.onopen = () => {
      const resume = this.#session === null ? null : { session: this.#session, channels: [] };
      socket.send(encode({ type: "hello", token, resume }));
    };
    socket.onmessage = (event: { data: unknown }) => {
      if (event.data instanceof ArrayBuffer) this.#heard(event.data);
    };
    socket.onclose = (event: { code: number }) => this.#closed(event.code);
  }

  #heard(frame: ArrayBuffer): void {
    const now = this.#env.now();
    this.#heardMs = now;
    const message = decode(frame);
    if (message === null) return;
    switch (message.type) {
      case "welcome":
        this.#welcomed(message);
        break;
      case "authenticated":
        this.#renewTokenIn(message.tokenExpiresInS);
        break;
      case "pong":
        this.#rtt.add(now - message.t / 1000);
        break;
      case "reconnect":
        this.#leaveIn(message.afterMs);
        break;
    }
    this.onMessage(message, now);
  }

  #welcomed(welcome: Welcome): void {
    this.#cancel("welcome");
    this.#session = welcome.session;
    this.#attempt = 0;
    const here = this.#origins[this.#origin % this.#origins.length]!;
    const others = shuffled(welcome.edges.filter(isOrigin).map(originOf), () => this.#env.random());
    this.#origins = [...new Set([here, ...others, this.#home])];
    this.#origin = 0;
    this.#rtt = new Rtt();
    this.#become({ kind: "live", welcome });
    this.#renewTokenIn(welcome.tokenExpiresInS);
    this.#ping();
    this.#watch();
  }

  #closed(code: number): void {
    this.#socket = null;
    if (code === CLOSE.seatTaken) this.stop("seat_taken");
    else if (code === CLOSE.unauthenticated) this.stop("unauthenticated");
    else this.#lost();
  }

  /** The connection is gone or never came: again, later. */
  #lost(): void {
    this.#cancelAll();
    this.#drop(CLOSE.normal);
    if (!this.#leaving) this.#origin++;
    const now = this.#env.now();
    const waitMs = Math.max(backoffMs(Math.max(1, this.#attempt), this.#env.random()), this.#notBeforeMs - now);
    this.#become({ kind: "waiting", attempt: this.#attempt, untilMs: now + waitMs });
    this.#later("next", waitMs, () => this.#connect());
  }

  /** The edge is about to close. */
  #leaveIn(afterMs: number): void {
    this.#notBeforeMs = this.#env.now() + afterMs;
    if (!this.#leaving) this.#origin++;
    this.#leaving = true;
    this.#later("next", afterMs, () => this.#connect());
  }

  #ping(): void {
    // In microseconds, so that a short way is told from none.
    this.send({ type: "ping", t: Math.round(this.#env.now() * 1000) });
    this.#later("ping", this.#pace.pingMs, () => this.#ping());
  }

  #watch(): void {
    const due = this.#heardMs + this.#pace.deadMs;
    this.#later("dead", due - this.#env.now(), () => {
      const now = this.#env.now();
      const lateMs = now - due;
      if (now < this.#heardMs + this.#pace.deadMs) this.#watch();
      // What came meanwhile may be waiting behind this timer.
      else if (lateMs > SLEPT_MS) this.#later("dead", SLEPT_MS, () => this.#judge());
      else this.#lost();
    });
  }

  #judge(): void {
    if (this.#env.now() < this.#heardMs + this.#pace.deadMs) this.#watch();
    else this.#lost();
  }

  #renewTokenIn(expiresInS: number): void {
    this.#later("token", Math.max(1, expiresInS - TOKEN_SPARE_S) * 1000, () => this.#renewToken());
  }

  #renewToken(): void {
    const life = this.#life;
    // Twice the spare time: the token at hand is to be replaced, though it would still do for a moment.
    this.#tokens.fresh(this.#origins[0]!, 2 * TOKEN_SPARE_S).then(
      (token) => {
        if (life === this.#life) this.send({ type: "auth", token });
      },
      (error: unknown) => {
        if (life !== this.#life) return;
        if (error instanceof TokenRefused) this.stop("unauthenticated");
        else this.#later("token", TOKEN_RETRY_MS, () => this.#renewToken());
      },
    );
  }

  get #pace(): typeof IN_MATCH {
    return this.#inMatch ? IN_MATCH : AT_REST;
  }

  /** Lets go of the socket, so that nothing it still says is heard and no two are ever alive. */
  #drop(code: number): void {
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close(code);
  }

  #become(state: ConnectionState): void {
    this.#state = state;
    if (state.kind !== "connecting" && state.kind !== "live") this.#life++;
    this.onState(state);
  }

  #later(what: Timer, ms: number, run: () => void): void {
    this.#cancel(what);
    this.#cancels.set(what, this.#env.after(Math.max(0, ms), run));
  }

  #cancel(what: Timer): void {
    this.#cancels.get(what)?.();
    this.#cancels.delete(what);
  }

  #cancelAll(): void {
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
  }
}

function socketUrl(origin: string): string {
  return `${origin.replace(/^http/, "ws")}/ws`;
}

/** Fisher and Yates. */
function shuffled(urls: string[], random: () => number): string[] {
  const order = [...urls];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

function isOrigin(url: string): boolean {
  return URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);
}

function originOf(url: string): string {
  return new URL(url).origin;
}
