// Who one is: a guest's tokens, kept for this tab only. (Two tabs are two guests, and can play each other.)

import { Refused, refresh, signInAsGuest, type SignIn } from "./api.ts";
import { TokenRefused, type Tokens } from "./connection.ts";
import type { UserInfo } from "../protocol/index.ts";

/** The part of `Storage` that is used. */
export interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

interface Kept {
  user: UserInfo;
  access: string;
  refresh: string;
  /** Wall clock, in ms since 1970: it must outlive a reload. */
  expiresMs: number;
}

const KEY = "rally.session";

export class Session implements Tokens {
  readonly #storage: Storage;
  readonly #nowMs: () => number;
  #kept: Kept | null;
  #refreshing: Promise<Kept> | null = null;

  constructor(storage: Storage, nowMs: () => number) {
    this.#storage = storage;
    this.#nowMs = nowMs;
    this.#kept = read(storage);
  }

  get user(): UserInfo | null {
    return this.#kept?.user ?? null;
  }

  async signIn(username: string): Promise<UserInfo> {
    return this.#keep(await signInAsGuest(username)).user;
  }

  signOut(): void {
    this.#kept = null;
    this.#storage.removeItem(KEY);
  }

  /** An edge refused the access token: the next one asked for is a new one. */
  distrust(): void {
    if (this.#kept !== null) this.#kept.expiresMs = 0;
  }

  async fresh(origin = "", leastS = 30): Promise<string> {
    if (this.#kept === null) throw new TokenRefused();
    if (this.#kept.expiresMs - this.#nowMs() > leastS * 1000) return this.#kept.access;
    // Refresh tokens rotate: two refreshes at once would look like a stolen token.
    this.#refreshing ??= this.#refresh(origin, this.#kept.refresh).finally(() => {
      this.#refreshing = null;
    });
    return (await this.#refreshing).access;
  }

  async #refresh(origin: string, token: string): Promise<Kept> {
    try {
      return this.#keep(await refresh(origin, token));
    } catch (error) {
      if (!(error instanceof Refused) || (error.status !== 401 && error.status !== 403)) throw error;
      this.signOut();
      throw new TokenRefused();
    }
  }

  #keep(answer: SignIn): Kept {
    const kept: Kept = {
      user: answer.user,
      access: answer.access_token,
      refresh: answer.refresh_token,
      expiresMs: this.#nowMs() + answer.expires_in_s * 1000,
    };
    this.#kept = kept;
    this.#storage.setItem(KEY, JSON.stringify(kept));
    return kept;
  }
}

function read(storage: Storage): Kept | null {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? "null") as Partial<Kept> | null;
    const whole =
      kept !== null &&
      typeof kept.access === "string" &&
      typeof kept.refresh === "string" &&
      typeof kept.expiresMs === "number" &&
      typeof kept.user?.name === "string";
    return whole ? (kept as Kept) : null;
  } catch {
    return null;
  }
}
