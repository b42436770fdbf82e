// One person at a cluster: a session and the connection that it is used with, in the real time of a browser or of Node.

import { Connection, type ConnectionState, type Env } from "./connection.ts";
import type { ClientMessage, ServerMessage, UserInfo, Welcome } from "./protocol/index.ts";
import { Session, type Storage } from "./session.ts";

/** The clock, chance and sockets of this program. */
export const realEnv: Env = {
  now: () => performance.now(),
  random: Math.random,
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  open: (url, subprotocol) => new WebSocket(url, subprotocol),
};

/** Keeps a session for as long as the program runs. */
export function memory(): Storage {
  const items = new Map<string, string>();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}

export class Rally {
  readonly session: Session;
  readonly connection: Connection;

  /** Hears every message. */
  onMessage: (message: ServerMessage) => void = () => {};
  /** Each time that a connection is ready, after a break too: the place for `match_join` and `channel_join`. */
  onLive: (welcome: Welcome) => void = () => {};
  /** Hears of breaks as well. */
  onState: (state: ConnectionState) => void = () => {};

  /** `origin`: of any edge, as `https://rally.example`; the others become known by `welcome`. */
  constructor(origin: string, storage: Storage = memory(), env: Env = realEnv) {
    this.session = new Session(storage, Date.now, origin);
    this.connection = new Connection(env, this.session, origin);
    this.connection.onMessage = (message) => this.onMessage(message);
    this.connection.onState = (state) => {
      this.onState(state);
      if (state.kind === "live") this.onLive(state.welcome);
    };
  }

  signInAsGuest(username: string): Promise<UserInfo> {
    return this.session.signIn(username);
  }

  /** Connects, and stays connected until `stop`. */
  start(): void {
    this.connection.start();
  }

  stop(): void {
    this.connection.stop();
  }

  /** False while there is no connection: nothing waits to be sent. */
  send(message: ClientMessage): boolean {
    return this.connection.send(message);
  }
}
