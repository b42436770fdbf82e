// Invitations as the page keeps them, and what it says.
import { beforeEach, expect, test, vi } from "vitest";

import type { ServerMessage } from "rally-sdk";

const { sends } = vi.hoisted(() => ({ sends: [] as unknown[] }));
vi.mock("../src/app.ts", () => ({
  connection: { send: (message: unknown) => sends.push(message) },
  explain: (code: string) => code,
  listen: () => () => {},
}));
vi.mock("../src/settings.ts", () => ({ classic: { value: false }, skill: { value: "dash" } }));

const duels = await import("../src/duels.ts");

const ADA = { id: "20212223-2425-2627-2829-2a2b2c2d2e2f", name: "ada", guest: false };
const BOB = { ...ADA, id: "30212223-2425-2627-2829-2a2b2c2d2e2f", name: "bob" };
const ONE = "10111213-1415-1617-1819-1a1b1c1d1e1f";
const TWO = "11111213-1415-1617-1819-1a1b1c1d1e1f";
const invited = (invite: string, from = ADA): ServerMessage => ({
  type: "duel_invited",
  invite,
  from,
  mode: "duel",
  expiresInS: 60,
});

beforeEach(() => {
  sends.length = 0;
  duels.invitations.value = [];
  [duels.sent.value, duels.outcome.value, duels.rematchWanted.value, duels.rematchAsked.value] = [null, null, null, null];
});

test("of one person the last invitation counts, and it is answered once", () => {
  duels.take(invited(ONE), 0);
  duels.take(invited(TWO), 1_000);
  duels.take(invited(ONE, BOB), 1_000);
  expect(duels.invitations.value.map(({ invite, from, untilMs }) => [invite, from.name, untilMs])).toEqual([
    [TWO, "ada", 61_000],
    [ONE, "bob", 61_000],
  ]);
  duels.answer(duels.invitations.value[0]!, true);
  expect(sends).toEqual([{ type: "duel_answer", invite: TWO, accept: true, skill: "dash" }]);
  expect(duels.invitations.value.map(({ from }) => from.name)).toEqual(["bob"]);
});

test("what is answered elsewhere, taken back or expired goes", () => {
  duels.take(invited(ONE), 0);
  duels.take(invited(TWO, BOB), 0);
  duels.take({ type: "duel_over", invite: TWO }, 1);
  expect(duels.invitations.value.length).toBe(1);
  duels.forgetExpired(59_999);
  expect(duels.invitations.value.length).toBe(1);
  duels.forgetExpired(60_000);
  expect(duels.invitations.value.length).toBe(0);
});

test("one's own invitation waits, is declined, refused or taken back", () => {
  duels.invite(ADA);
  expect(sends).toEqual([{ type: "duel_invite", user: ADA.id, mode: "duel", skill: "dash" }]);
  duels.take({ type: "duel_sent", invite: ONE, user: ADA.id, expiresInS: 60 }, 5);
  expect(duels.sent.value).toMatchObject({ invite: ONE, untilMs: 60_005 });
  duels.take({ type: "duel_answered", invite: TWO, accept: false }, 6);
  expect(duels.sent.value).not.toBeNull();
  duels.take({ type: "duel_answered", invite: ONE, accept: false }, 6);
  expect([duels.sent.value, duels.outcome.value]).toEqual([null, "ada does not want to play now."]);

  duels.invite(ADA);
  duels.take({ type: "error", code: "not_found", detail: "there is no such user", of: "duel_invite", match: null, until: null }, 7);
  expect([duels.sent.value, duels.outcome.value]).toEqual([null, "There is no such user."]);

  duels.invite(ADA);
  duels.take({ type: "duel_sent", invite: ONE, user: ADA.id, expiresInS: 60 }, 5);
  duels.takeBack();
  expect(sends.at(-1)).toEqual({ type: "duel_cancel", invite: ONE, user: ADA.id });
});

test("a rematch is wanted by both", () => {
  duels.take({ type: "rematch_wanted", match: ONE }, 0);
  expect(duels.rematchWanted.value).toBe(ONE);
  duels.rematch(ONE, null);
  expect(sends).toEqual([{ type: "rematch", match: ONE, skill: null }]);
  duels.take({ type: "match_found", match: TWO, mode: "duel", side: "left", opponent: ADA }, 1);
  expect([duels.rematchWanted.value, duels.rematchAsked.value]).toEqual([null, null]);
});
