// What all pages share: who one is, the one connection, and where one stands (in a queue, in a match).

import { effect, signal } from "@preact/signals";

import {
  Connection,
  type ConnectionState,
  createMatch,
  memory,
  realEnv,
  showReplay,
  type Credentials,
  type Id,
  type Mode,
  type NewMatch,
  Refused,
  type ServerMessage,
  Session,
  type SignIn,
  type Skill,
  type Status,
  type Storage,
  TokenRefused,
  type UserInfo,
} from "rally-sdk";
import { go } from "./router.ts";
import * as settings from "./settings.ts";

export interface Waiting {
  mode: Mode;
  skill: Skill;
  sinceMs: number;
  /** The server's guess. */
  waitS: number | null;
}

/** Of this tab; where it is forbidden, of this page. */
function tabStorage(): Storage {
  try {
    return sessionStorage;
  } catch {
    return memory();
  }
}

export const session = new Session(tabStorage(), Date.now);
export const connection = new Connection(realEnv, session, location.origin);

export const user = signal<UserInfo | null>(session.user);
export const state = signal<ConnectionState>(connection.state);
export const queue = signal<Waiting | null>(null);
/** The match in which one has a seat. */
export const seat = signal<Id | null>(null);
/** What friends show; who is gone is not in it. */
export const presence = signal<Record<Id, Status>>({});
/** The last thing that went wrong, for the home page. */
export const trouble = signal<string | null>(null);

type Listener = (message: ServerMessage, nowMs: number) => void;
const listeners = new Set<Listener>();

/** Hears every message until the result is called. */
export function listen(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

connection.onState = (now) => {
  state.value = now;
  if (now.kind !== "stopped") return;
  queue.value = null;
  if (now.reason === "unauthenticated") session.distrust();
};
connection.onMessage = (message, nowMs) => {
  keepPlace(message);
  for (const listener of listeners) listener(message, nowMs);
};

addEventListener("online", () => connection.hurry());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") connection.hurry();
});

effect(() => {
  if (user.value !== null) connection.start();
});

/** Follows where one stands. */
function keepPlace(message: ServerMessage): void {
  switch (message.type) {
    case "welcome":
      user.value = message.user;
      presence.value = {};
      seat.value = message.match;
      // The ticket went with the old connection.
      if (queue.value !== null && message.queue === null && message.match === null) join(queue.value);
      break;
    case "presence":
      presence.value = { ...presence.value, [message.user]: message.status };
      break;
    case "queued":
      // Also unasked: whose opponent did not come is queued again.
      queue.value = {
        skill: settings.skill.value,
        sinceMs: performance.now(),
        ...queue.value,
        mode: message.mode,
        waitS: message.waitS,
      };
      break;
    case "queue_left":
      queue.value = null;
      break;
    case "match_found":
      queue.value = null;
      seat.value = message.match;
      go(`/play/${message.match}`);
      break;
    case "match_joined":
      if (message.side !== "spectator") seat.value = message.over === null ? message.match : null;
      break;
    case "game_over":
      if (seat.value === message.match) seat.value = null;
      break;
    case "error":
      if (message.of !== "queue_join") break;
      if (message.code === "already_in_queue" && queue.value !== null) break;
      queue.value = null;
      if (message.code === "already_in_match" && message.match !== null) seat.value = message.match;
      trouble.value = explain(message.code, message.detail);
      break;
  }
}

function join({ mode, skill }: Waiting): void {
  connection.send({ type: "queue_join", mode, skill: mode === "classic" ? null : skill });
}

/** Asks for an opponent; `match_found` leads to the match. */
export function enqueue(mode: Mode, skill: Skill): void {
  trouble.value = null;
  queue.value = { mode, skill, sinceMs: performance.now(), waitS: null };
  // Not connected yet: `welcome` joins.
  if (connection.state.kind === "live") join(queue.value);
  else connection.start();
}

export function dequeue(): void {
  queue.value = null;
  connection.send({ type: "queue_leave" });
}

/** As an account from now on. */
function become(who: UserInfo): void {
  settings.account.value = true;
  connection.forget();
  user.value = who;
  connection.start();
}

/** Signs an account in. */
export async function logIn(credentials: Credentials): Promise<void> {
  become(await session.logIn(credentials));
}

/** Goes on as whoever another way of signing in leads to. */
export async function enter(answer: Promise<SignIn>): Promise<void> {
  become(session.enter(await answer));
}

/** Makes an account, of the guest that one is. Returns the code for a forgotten password. */
export async function register(credentials: Credentials): Promise<string> {
  const code = await session.register(credentials);
  if (session.user !== null) become(session.user);
  return code;
}

/** Ends the login of this browser. */
export async function logOut(): Promise<void> {
  settings.account.value = false;
  await session.logOut();
  signOut();
}

if (location.pathname === "/account" && new URLSearchParams(location.search).has("by")) {
  // Back from another site: the cookie says who one is now, whatever this tab was before.
  history.replaceState(null, "", "/account");
  void session
    .restore()
    .then((who) => {
      if (who !== null) become(who);
    })
    .catch(() => {});
} else if (session.user === null && settings.account.value) {
  void session
    .restore()
    .then((who) => {
      if (who === null) settings.account.value = false;
      else if (user.value === null) user.value = who;
    })
    .catch(() => {});
}

/** Signs in under this name unless one is signed in under it already. */
export async function signIn(name: string): Promise<void> {
  if (session.user !== null && (!session.user.guest || session.user.name === name)) {
    try {
      await session.fresh();
      connection.start();
      return;
    } catch (error) {
      // A guest that is known no more: a new one of that name.
      if (!(error instanceof TokenRefused) || settings.account.value) throw error;
    }
  }
  const signedIn = await session.signIn(name);
  connection.forget();
  settings.name.value = signedIn.name;
  user.value = signedIn;
  connection.start();
}

/** A new match of one's own, asked of the edge that one is connected to. */
export async function newMatch(match: NewMatch): Promise<Id> {
  const { origin } = connection;
  return createMatch(origin, await session.fresh(origin), match);
}

/** A finished match, to be watched again by oneself. */
export async function newReplay(of: Id, tick: number | null): Promise<Id> {
  const { origin } = connection;
  return showReplay(origin, await session.fresh(origin), of, tick);
}

/** For those who only watch: a name that nobody chose. */
export async function signInToWatch(): Promise<void> {
  if (session.user !== null) return;
  const number = crypto.getRandomValues(new Uint32Array(1))[0]!;
  user.value = await session.signIn(`Viewer_${number.toString(36)}`);
}

/** After `stopped`: begins again as the same person where that is possible. */
export async function again(): Promise<void> {
  try {
    await session.fresh();
    connection.start();
  } catch (error) {
    if (!(error instanceof TokenRefused)) throw error;
    signOut();
  }
}

export function signOut(): void {
  connection.forget();
  session.signOut();
  user.value = null;
  seat.value = null;
  queue.value = null;
}

const SENTENCES: Record<string, string> = {
  already_in_match: "You have a match going on. Finish it first.",
  already_in_queue: "You are waiting for an opponent already, in another window.",
  at_capacity: "All tables are taken. Try again in a moment.",
  forbidden: "This match is not for you.",
  not_found: "There is no such match.",
  rate_limited: "Too fast. Wait a moment and try again.",
  unavailable: "Rally is catching its breath. Try again in a moment.",
  totp_required: "The code of your authenticator, please.",
  unauthenticated: "Your session has ended. Sign in again.",
  username_taken: "Somebody has that name. Take another.",
};

/** A refusal in words for people. */
export function explain(code: string, detail: string): string {
  return SENTENCES[code] ?? detail;
}

/** The same for what an API call throws. */
export function explainError(error: unknown): string {
  if (error instanceof Refused) return explain(error.code, error.message);
  if (error instanceof TokenRefused) return explain("unauthenticated", "");
  return "Rally cannot be reached. Is the network there?";
}
