import { beforeAll, expect, test, vi } from "vitest";

let router: typeof import("../src/router.ts");
beforeAll(async () => {
  vi.stubGlobal("location", { pathname: "/" });
  vi.stubGlobal("addEventListener", () => {});
  router = await import("../src/router.ts");
});

const ID = "0191e8a4-7b1c-7def-8123-456789abcdef";

test("paths and their pages", () => {
  expect(router.parse("/")).toEqual({ page: "home" });
  expect(router.parse(`/play/${ID}`)).toEqual({ page: "play", match: ID });
  expect(router.parse(`/match/${ID}`)).toEqual({ page: "match", match: ID });
  expect(router.parse(`/watch/${ID}/`)).toEqual({ page: "watch", match: ID });
  expect(router.parse(`/replay/${ID}`)).toEqual({ page: "replay", match: ID });
  expect(router.parse("/talk")).toEqual({ page: "talk" });
  expect(router.parse(`/player/${ID}`)).toEqual({ page: "player", player: ID });
  expect(router.parse("/play/a/b")).toEqual({ page: "home" });
});

test("a match is found in whatever link is given", () => {
  expect(router.matchIn(`http://localhost:8080/play/${ID}`)).toBe(ID);
  expect(router.matchIn(ID.toUpperCase())).toBe(ID);
  expect(router.matchIn("localhost")).toBeNull();
});
