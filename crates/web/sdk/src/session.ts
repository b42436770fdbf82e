// Who one is. A guest's tokens are kept for this tab only: two tabs are two guests, and can play each other. An
// account's refresh token lies in a cookie that no script can read, and is shared by all tabs.

import { Refused, logIn, logOut, refresh, register, signInAsGuest, type Credentials, type SignIn } from "./api.ts";
import { TokenRefused, type Tokens } from "./connection.ts";
import type { UserInfo } from "./protocol/index.ts";

/** The part of `Storage` that is used. */
export interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

interface Kept {
  user: UserInfo;
  access: string;
  /** Null: in the cookie. */
  refresh: string | null;
  /** Wall clock, in ms since 1970: it must outlive a reload. */
  expiresMs: number;
}

const KEY = "rally.session";

export class Session implements Tokens {
  readonly #storage: Storage;
  readonly #nowMs: () => number;
  readonly #home: string;
  #kept: Kept | null;
  #refreshing: Promise<Kept> | null = null;

  /** `home`: the edge where one signs in; empty for the one that served this page. */
  constructor(storage: Storage, nowMs: () => number, home = "") {
    this.#home = home;
    this.#storage = storage;
    this.#nowMs = nowMs;
    this.#kept = read(storage);
  }

  get user(): UserInfo | null {
    return this.#kept?.user ?? null;
  }

  async signIn(username: string): Promise<UserInfo> {
    return this.#keep(await signInAsGuest(username, this.#home)).user;
  }

  /** Signs an account in. */
  async logIn(credentials: Credentials): Promise<UserInfo> {
    return this.#keep(await logIn(credentials)).user;
  }

  /** Goes on as whoever another way of signing in has led to. */
  enter(answer: SignIn): UserInfo {
    return this.#keep(answer).user;
  }

  /** Makes an account, of the guest that one is. Returns what stands in for a forgotten password. */
  async register(credentials: Credentials): Promise<string> {
    const guest = this.#kept?.user.guest === true ? await this.fresh().catch(() => undefined) : undefined;
    const answer = await register(credentials, guest);
    this.#keep(answer);
    return answer.recovery_code ?? "";
  }

  /** Goes on as whoever the cookie says; null where it says nobody. */
  async restore(): Promise<UserInfo | null> {
    try {
      return (await this.#refresh("", null)).user;
    } catch (error) {
      if (error instanceof TokenRefused) return null;
      throw error;
    }
  }

  /** Ends the login, also on the server if that can be reached. */
  async logOut(): Promise<void> {
    const token = await this.fresh().catch(() => null);
    this.signOut();
    if (token !== null) await logOut(token).catch(() => {});
  }

  signOut(): void {
    this.#kept = null;
    this.#storage.removeItem(KEY);
  }

  /** An edge refused the access token: the next one asked for is a new one. */
  distrust(): void {
    if (this.#kept !== null) this.#kept.expiresMs = 0;
  }

  async fresh(origin = this.#home, leastS = 30): Promise<string> {
    if (this.#kept === null) throw new TokenRefused();
    if (this.#kept.expiresMs - this.#nowMs() > leastS * 1000) return this.#kept.access;
    // Refresh tokens rotate: two refreshes at once would look like a stolen token.
    this.#refreshing ??= this.#refresh(origin, this.#kept.refresh).finally(() => {
      this.#refreshing = null;
    });
    return (await this.#refreshing).access;
  }

  async #refresh(origin: string, token: string | null): Promise<Kept> {
    try {
      return this.#keep(await (token === null ? alone(() => refresh(origin, null)) : refresh(origin, token)));
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
      refresh: answer.refresh_token ?? null,
      expiresMs: this.#nowMs() + answer.expires_in_s * 1000,
    };
    this.#kept = kept;
    this.#storage.setItem(KEY, JSON.stringify(kept));
    return kept;
  }
}

/** One tab after the other: the cookie is the same for all, and good once. */
function alone<T>(what: () => Promise<T>): Promise<T> {
  const locks = (globalThis.navigator as Navigator | undefined)?.locks;
  return locks === undefined ? what() : (locks.request("rally.refresh", what) as Promise<T>);
}

function read(storage: Storage): Kept | null {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? "null") as Partial<Kept> | null;
    const whole =
      kept !== null &&
      typeof kept.access === "string" &&
      (kept.refresh === null || typeof kept.refresh === "string") &&
      typeof kept.expiresMs === "number" &&
      typeof kept.user?.name === "string";
    return whole ? (kept as Kept) : null;
  } catch {
    return null;
  }
}
