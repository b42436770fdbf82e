import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Refused } from "../src/api.ts";
import { TokenRefused } from "../src/connection.ts";
import { Session, type Storage } from "../src/session.ts";

class Memory implements Storage {
  items = new Map<string, string>();
  getItem(key: string) {
    return this.items.get(key) ?? null;
  }
  setItem(key: string, value: string) {
    this.items.set(key, value);
  }
  removeItem(key: string) {
    this.items.delete(key);
  }
}

const user = { id: "0191e8a4-7b1c-7def-8123-456789abcdef", name: "ann", guest: true };
let nowMs = 0;
let issued = 0;
let calls: { url: string; body: unknown }[] = [];
let answer: () => { status: number; body: unknown };
let storage: Memory;

beforeEach(() => {
  [nowMs, issued, calls] = [1_000_000, 0, []];
  storage = new Memory();
  answer = () => {
    issued++;
    return { status: 200, body: { user, access_token: `a${issued}`, refresh_token: `r${issued}`, expires_in_s: 900 } };
  };
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    calls.push({ url, body: JSON.parse(init.body as string) });
    const { status, body } = answer();
    return new Response(JSON.stringify(body), { status });
  });
});
afterEach(() => vi.unstubAllGlobals());

test("a guest's tokens are used until shortly before they end, then renewed", async () => {
  const session = new Session(storage, () => nowMs);
  expect(await session.signIn("ann")).toEqual(user);
  expect(calls).toEqual([{ url: "/api/v1/auth/guest", body: { username: "ann" } }]);
  expect(await session.fresh()).toBe("a1");
  nowMs += 860_000;
  expect(await session.fresh("http://two", 60)).toBe("a2");
  expect(calls[1]).toEqual({ url: "http://two/api/v1/auth/refresh", body: { refresh_token: "r1" } });
  expect(await session.fresh()).toBe("a2");
});

test("two who ask at once share one renewal, since refresh tokens serve once", async () => {
  const session = new Session(storage, () => nowMs);
  await session.signIn("ann");
  nowMs += 900_000;
  expect(await Promise.all([session.fresh(), session.fresh()])).toEqual(["a2", "a2"]);
  expect(calls).toHaveLength(2);
});

test("a reload finds the same person", async () => {
  await new Session(storage, () => nowMs).signIn("ann");
  const again = new Session(storage, () => nowMs);
  expect(again.user).toEqual(user);
  expect(await again.fresh()).toBe("a1");
});

test("what is kept may be broken", () => {
  for (const odd of ["", "{", "7", "null", '{"access":1}', '{"access":"a","refresh":"r","expiresMs":1}']) {
    storage.setItem("rally.session", odd);
    expect(new Session(storage, () => nowMs).user).toBeNull();
  }
});

test("a refused renewal ends the session, a failed one does not", async () => {
  const session = new Session(storage, () => nowMs);
  await session.signIn("ann");
  session.distrust();
  answer = () => ({ status: 503, body: { code: "unavailable", detail: "later" } });
  await expect(session.fresh()).rejects.toMatchObject({ code: "unavailable", status: 503 });
  expect(session.user).toEqual(user);
  answer = () => ({ status: 401, body: { code: "unauthenticated", detail: "reused" } });
  await expect(session.fresh()).rejects.toBeInstanceOf(TokenRefused);
  expect(session.user).toBeNull();
  expect(storage.items.size).toBe(0);
  await expect(session.fresh()).rejects.toBeInstanceOf(TokenRefused);
});

test("a refusal carries the code of its problem document", async () => {
  answer = () => ({ status: 409, body: { code: "username_taken", title: "Taken" } });
  const refused = await new Session(storage, () => nowMs).signIn("ann").catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(Refused);
  expect(refused).toMatchObject({ code: "username_taken", status: 409, message: "Taken" });
});
