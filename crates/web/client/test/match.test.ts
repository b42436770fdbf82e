// A match over a real WebSocket to the mock edge: joined, played, lost, rejoined, finished.
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";

import { Match } from "../src/game/match.ts";
import { Connection, type Env, type Id, type Socket, SUBPROTOCOL } from "rally-sdk";
import { MockServer } from "./mock/server.ts";

const server = new MockServer();
let url = "";
beforeAll(async () => {
  server.scoreToWin = 2;
  url = await server.listen();
});
afterAll(() => server.close());

const env: Env = {
  now: () => performance.now(),
  random: Math.random,
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  open: (url) => new WebSocket(url, SUBPROTOCOL) as unknown as Socket,
};

async function post<T>(path: string, body: unknown, token = ""): Promise<T> {
  const response = await fetch(`${url}/api/v1${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
  return (await response.json()) as T;
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Somebody at the bot's table, with a connection that joins at each `live`. */
async function player(mode: "practice" | "local") {
  const { access_token: token } = await post<{ access_token: string }>("/auth/guest", { username: "ann" });
  const { match: id } = await post<{ match: Id }>("/matches", { mode, skill: "dash" }, token);
  const connection = new Connection(env, { fresh: () => Promise.resolve(token) }, url);
  const match = new Match(connection, id, "player", "dash");
  connection.onMessage = (message, nowMs) => match.take(message, nowMs);
  connection.onState = (state) => (state.kind === "live" ? match.join() : match.lost(performance.now()));
  connection.start();
  return { connection, match, hosted: server.matches.get(id)! };
}

test("joins, is ready, plays, comes back after a lost connection, and learns the result", async () => {
  const { connection, match, hosted } = await player("practice");
  await until(() => match.ui.value.joined);
  expect(match.ui.value).toMatchObject({ place: "left", mode: "practice", classic: false });
  const happened: string[] = [];
  const watch = setInterval(() => happened.push(...(match.frame(performance.now())?.events ?? []).map(({ event }) => event)), 5);
  await until(() => hosted.phase === "countdown");
  hosted.phase = "playing";

  match.hold(0, 1, performance.now());
  await until(() => hosted.paddles[0].ack === 1 && hosted.paddles[0].y > 600);
  match.hold(0, 1, performance.now());
  match.hold(0, 0, performance.now());
  await until(() => hosted.paddles[0].ack === 2 && hosted.paddles[0].dir === 0);
  await until(() => Math.abs(match.frame(performance.now())!.field.paddles[0] - hosted.paddles[0].y) < 1);

  for (const { socket } of server.peers) socket.terminate();
  await until(() => !match.ui.value.joined);
  // The page says how long the seat is kept, from the moment of the loss on.
  const left = match.ui.value.seatKept!.untilMs - performance.now();
  expect(left).toBeGreaterThan(28_000);
  expect(left).toBeLessThanOrEqual(30_000);
  match.hold(0, -1, performance.now());
  await until(() => match.ui.value.joined);
  expect(match.ui.value.seatKept).toBe(null);
  expect(hosted.phase).toBe("paused");
  // Inputs are numbered anew, and what is held is said again.
  await until(() => hosted.paddles[0].ack === 1 && hosted.paddles[0].dir === -1);

  hosted.phase = "playing";
  hosted.balls = [{ x: 1900, y: 100, vx: 1500, vy: 0 }];
  await until(() => match.ui.value.score[0] === 1);
  await until(() => happened.includes("goal"));
  hosted.balls = [{ x: 1900, y: 100, vx: 1500, vy: 0 }];
  await until(() => match.ui.value.over !== null);
  expect(match.ui.value).toMatchObject({ over: { winner: "left", reason: "score" }, score: [2, 0], recording: false });
  clearInterval(watch);
  connection.stop();
}, 20_000);

test("at one keyboard each side counts its own inputs", async () => {
  const { connection, match, hosted } = await player("local");
  await until(() => match.ui.value.joined);
  expect(match.sides).toEqual([0, 1]);
  await until(() => hosted.phase === "countdown");
  match.hold(0, -1, performance.now());
  match.hold(1, 1, performance.now());
  match.press(1, performance.now());
  await until(() => hosted.paddles[0].ack === 1 && hosted.paddles[1].ack === 2);
  expect(hosted.paddles.map(({ dir }) => dir)).toEqual([-1, 1]);
  connection.stop();
}, 20_000);

test("a match that is not there is a refusal", async () => {
  const { connection } = await player("practice");
  const match = new Match(connection, "0191e8a4-7b1c-7def-8123-456789abcdef", "spectator", null);
  connection.onMessage = (message, nowMs) => match.take(message, nowMs);
  connection.onState = (state) => state.kind === "live" && match.join();
  await until(() => match.ui.value.refusal !== null);
  expect(match.ui.value.refusal).toMatchObject({ code: "not_found" });
  connection.stop();
}, 20_000);

test("a match that cannot be reached just now is asked again", async () => {
  server.joinsToRefuse = 2;
  const { connection, match } = await player("practice");
  await until(() => match.ui.value.retrying);
  expect(match.ui.value).toMatchObject({ joined: false, refusal: null });
  await until(() => match.ui.value.joined);
  expect(match.ui.value).toMatchObject({ retrying: false, place: "left" });
  expect(server.joinsToRefuse).toBe(0);
  connection.stop();
}, 20_000);

test("who leaves before the match has answered is not left in it", async () => {
  const { connection, match, hosted } = await player("practice");
  connection.onState = (state) => {
    if (state.kind !== "live") return;
    match.join();
    match.leave();
  };
  await until(() => connection.state.kind === "live" && hosted.viewers.size === 0 && connection.rttMs !== null);
  expect(hosted.viewers.size).toBe(0);
  connection.stop();
}, 20_000);
