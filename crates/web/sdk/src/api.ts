// The HTTP API, as far as the page uses it. Refusals are `Refused` with the stable code of the problem document.

import type { ErrorCode, Id, Level, Skill, UserInfo } from "./protocol/index.ts";

export interface SignIn {
  user: UserInfo;
  access_token: string;
  /** Absent where it came in a cookie, out of this page's reach. */
  refresh_token?: string;
  expires_in_s: number;
  /** Stands in for a forgotten password; shown once. */
  recovery_code?: string;
}

export interface PublicUser {
  id: Id;
  name: string;
  guest: boolean;
  rating: number;
  created_at: string;
  /** Null where it is not known. */
  last_seen_at: string | null;
  avatar: string | null;
}

export interface UserStats {
  rating: number;
  rank: number | null;
  matches: number;
  wins: number;
  losses: number;
  goals_for: number;
  goals_against: number;
  /** In play. */
  play_s: number;
  /** The oldest first. */
  rating_curve: RatingPoint[];
}

export interface RatingPoint {
  at: string;
  rating: number;
}

export interface LiveMatch {
  id: Id;
  mode: string;
  players: [{ user: Id | null; name: string }, { user: Id | null; name: string }];
  score: [number, number];
  viewers: number;
}

export interface SideStats {
  side: "left" | "right";
  paddle_hits: number;
  fastest_ball: number;
  power_ups_split: number;
  power_ups_blackout: number;
  power_ups_blackhole: number;
  skills_used: number;
  skills_successful: number;
  disconnected_ms: number;
  rating_before: number | null;
  rating_after: number | null;
}

export interface MatchSummary {
  id: Id;
  mode: string;
  players: { user: Id | null; name: string | null; bot: string | null }[];
  score: [number, number];
  winner: "left" | "right" | null;
  ended_at: string | null;
  duration_s: number;
}

export interface MatchView extends MatchSummary {
  reason: string | null;
  statistics: SideStats[];
  has_replay: boolean;
}

export interface RecordedEvent {
  n: number;
  at_s: number;
  event: "goal" | "power_up" | "skill";
  data: { scorer?: string; side?: string; y?: number; power_up?: string; skill?: string };
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

export interface RankedUser {
  /** Absent beyond the first 10,000. */
  rank: number | null;
  id: Id;
  name: string;
  rating: number;
  matches: number;
  wins: number;
}

export interface FriendView {
  user: UserInfo;
  direction?: "incoming" | "outgoing";
}

export interface NewMatch {
  mode: "practice" | "local" | "private";
  level?: Level;
  skill?: Skill;
  classic?: boolean;
}

/** The server said no. */
export class Refused extends Error {
  readonly code: ErrorCode;
  readonly status: number;

  constructor(code: ErrorCode, status: number, detail: string) {
    super(detail);
    this.code = code;
    this.status = status;
  }
}

const TIMEOUT_MS = 10_000;

/** `origin`, here and below: of the edge to ask; empty for the one that served this page. */
export function signInAsGuest(username: string, origin = ""): Promise<SignIn> {
  return post(origin, "/auth/guest", { username });
}

export interface Credentials {
  username: string;
  password: string;
  totp?: string;
}

/** Makes an account; of the guest whose token this is, who keeps everything. */
export function register(credentials: Credentials, guest?: string): Promise<SignIn> {
  return post("", "/auth/register", { ...credentials, cookie: true }, guest);
}

export function logIn(credentials: Credentials): Promise<SignIn> {
  return post("", "/auth/login", { ...credentials, cookie: true });
}

export interface SignInSite {
  /** For `leaveFor`. */
  name: string;
  /** What people call it. */
  label: string;
}

/** Other sites by which one can sign in. */
export function signInSites(): Promise<{ items: SignInSite[] }> {
  return call("GET", "", "/auth/oauth");
}

/** Where to send the browser so that it signs in by that site. Whose token this is, is linked; a guest becomes an account. */
export function leaveFor(site: string, token?: string): Promise<{ url: string }> {
  return post("", `/auth/oauth/${encodeURIComponent(site)}/start`, {}, token);
}

/** Has a letter with a code written, if the account has an address. */
export function forgot(username: string): Promise<void> {
  return post("", "/auth/forgot", { username });
}

/** Sets another password by a code. */
export function recover(username: string, code: string, newPassword: string): Promise<SignIn> {
  return post("", "/auth/recover", { username, recovery_code: code, new_password: newPassword, cookie: true });
}

/** `origin`: of the edge to ask; empty for the one that served this page. Without a token: by the cookie. */
export function refresh(origin: string, refreshToken: string | null): Promise<SignIn> {
  return post(origin, "/auth/refresh", refreshToken === null ? {} : { refresh_token: refreshToken });
}

export function logOut(token: string): Promise<void> {
  return post("", "/auth/logout", {}, token);
}

/** `origin`: of the edge to ask. */
export async function createMatch(origin: string, token: string, match: NewMatch): Promise<Id> {
  return (await post<{ match: Id }>(origin, "/matches", match, token)).match;
}

/** Has a finished match shown again to oneself, from this tick on; what comes back is watched by `match_join`. */
export async function showReplay(origin: string, token: string, match: Id, tick: number | null): Promise<Id> {
  return (await post<{ match: Id }>(origin, `/matches/${match}/replay`, { tick }, token)).match;
}

export type Scope = "global" | "friends" | "around";

/** `token`: where it matters who asks. */
export function leaderboard(
  by: "rating" | "wins",
  scope: Scope,
  cursor: string | null,
  token?: string,
): Promise<Page<RankedUser>> {
  const from = cursor === null ? "" : `&cursor=${cursor}`;
  return call("GET", "", `/leaderboard?by=${by}&scope=${scope}&limit=20${from}`, undefined, token);
}

export function liveMatches(token: string): Promise<Page<LiveMatch>> {
  return call("GET", "", "/matches?state=live", undefined, token);
}

export function matchOf(match: Id, token: string): Promise<MatchView> {
  return call("GET", "", `/matches/${match}`, undefined, token);
}

export function eventsOf(match: Id, token: string): Promise<{ items: RecordedEvent[] }> {
  return call("GET", "", `/matches/${match}/events`, undefined, token);
}

export function statsOf(user: Id, token: string): Promise<UserStats> {
  return call("GET", "", `/users/${user}/stats`, undefined, token);
}

export function matchesOf(user: Id, cursor: string | null, token: string): Promise<Page<MatchSummary>> {
  const from = cursor === null ? "" : `&cursor=${cursor}`;
  return call("GET", "", `/users/${user}/matches?limit=10${from}`, undefined, token);
}

export function friends(token: string): Promise<{ items: FriendView[] }> {
  return call("GET", "", "/friends", undefined, token);
}

export function friendRequests(token: string): Promise<{ items: FriendView[] }> {
  return call("GET", "", "/friends/requests", undefined, token);
}

export function searchUsers(name: string, token: string): Promise<{ items: PublicUser[] }> {
  return call("GET", "", `/users?search=${encodeURIComponent(name)}`, undefined, token);
}

/** Asks for somebody's friendship, or accepts what that one has asked for. */
export function befriend(user: Id, token: string): Promise<{ state: string }> {
  return post("", "/friends/requests", { user }, token);
}

/** Ends a friendship. */
export function unfriend(user: Id, token: string): Promise<void> {
  return call("DELETE", "", `/friends/${user}`, undefined, token);
}

/** Takes one's own request back, or declines somebody's. */
export function declineFriend(user: Id, token: string): Promise<void> {
  return call("DELETE", "", `/friends/requests/${user}`, undefined, token);
}

/** Whom one blocks. */
export function blocks(token: string): Promise<{ items: FriendView[] }> {
  return call("GET", "", "/blocks", undefined, token);
}

/** Nothing comes from this one any more; a friendship ends. */
export function block(user: Id, token: string): Promise<void> {
  return post("", "/blocks", { user }, token);
}

export function unblock(user: Id, token: string): Promise<void> {
  return call("DELETE", "", `/blocks/${user}`, undefined, token);
}

export function userOf(user: Id, token: string): Promise<PublicUser> {
  return call("GET", "", `/users/${user}`, undefined, token);
}

function post<T>(origin: string, path: string, body: unknown, token?: string): Promise<T> {
  return call("POST", origin, path, body, token);
}

export async function call<T>(method: string, origin: string, path: string, body?: unknown, token?: string): Promise<T> {
  const response = await fetch(`${origin}/api/v1${path}`, {
    method,
    // Another edge of this site has the same cookie.
    credentials: "include",
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const answer = (await response.json().catch(() => ({}))) as {
    code?: string;
    detail?: string;
    title?: string;
    errors?: { field: string; detail: string }[];
  };
  if (!response.ok) {
    const code = answer.code ?? (response.status >= 500 ? "internal" : "invalid_input");
    throw new Refused(code, response.status, answer.errors?.[0]?.detail ?? answer.detail ?? answer.title ?? `HTTP ${response.status}`);
  }
  return answer as T;
}
