// The HTTP API, as far as this page uses it. Refusals are `Refused` with the stable code of the problem document.

import type { ErrorCode, Id, Level, Skill, UserInfo } from "../protocol/index.ts";

export interface SignIn {
  user: UserInfo;
  access_token: string;
  refresh_token: string;
  expires_in_s: number;
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

export function signInAsGuest(username: string): Promise<SignIn> {
  return post("", "/auth/guest", { username });
}

/** `origin`: of the edge to ask; empty for the one that served this page. */
export function refresh(origin: string, refreshToken: string): Promise<SignIn> {
  return post(origin, "/auth/refresh", { refresh_token: refreshToken });
}

/** `origin`: of the edge to ask. */
export async function createMatch(origin: string, token: string, match: NewMatch): Promise<Id> {
  return (await post<{ match: Id }>(origin, "/matches", match, token)).match;
}

async function post<T>(origin: string, path: string, body: unknown, token?: string): Promise<T> {
  const response = await fetch(`${origin}/api/v1${path}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const answer = (await response.json().catch(() => ({}))) as { code?: string; detail?: string; title?: string };
  if (!response.ok) {
    const code = answer.code ?? (response.status >= 500 ? "internal" : "invalid_input");
    throw new Refused(code, response.status, answer.detail ?? answer.title ?? `HTTP ${response.status}`);
  }
  return answer as T;
}
