// What the k6 scripts share: edges, guests, a player on a socket, and what is said at the end. Service levels are in
// `LEVELS`, so that every script fails by the same.

import { sleep } from "k6";
import http from "k6/http";
import exec from "k6/execution";
import { Counter, Rate, Trend } from "k6/metrics";
import { INPUT_EVERY_MS, Player, SUBPROTOCOL, edgeOf, guestName } from "../lib/player.mjs";

// The module was renamed after k6 1.1, and the old name is to go: either will do.
let websockets;
try {
  websockets = require("k6/websockets");
} catch {
  websockets = require("k6/experimental/websockets");
}

export const BASE_URLS = __ENV.BASE_URLS || "http://localhost:8080,http://localhost:8081";
export const VUS = Number(__ENV.VUS || 10);
export const PLAY_MS = 1000 * Number(__ENV.PLAY_S || 5);
const WAIT_MS = 10_000;

/** `30`, `30s` and `5m` in seconds. */
export function seconds(text) {
  const [, number, unit] = /^(\d+)([sm]?)$/.exec(text) || [];
  if (!number) throw new Error(`${text} is no time such as 30s`);
  return Number(number) * (unit === "m" ? 60 : 1);
}

/** What is promised: thresholds of requests, and of players. API_MS and INPUT_MS are p95, in ms. */
export const LEVELS = {
  requests: { http_req_duration: [`p(95)<${__ENV.API_MS || 200}`], http_req_failed: ["rate==0"] },
  players: {
    rally_input_to_snapshot_ms: [`p(95)<${__ENV.INPUT_MS || 50}`],
    rally_errors: ["count==0"],
    rally_played: ["rate==1"],
    // Half of the players are on each side of a match; at the end of the run one may be left without an opponent.
    rally_unpaired: ["count<=1"],
  },
};

export const TRENDS = ["min", "med", "p(95)", "p(99)", "max"];

const inputToSnapshot = new Trend("rally_input_to_snapshot_ms", true);
const played = new Rate("rally_played");
const matches = new Counter("rally_matches_played");
const unpaired = new Counter("rally_unpaired");
const errors = new Counter("rally_errors");
const snapshots = new Counter("rally_snapshots");

/** The edge of the present virtual user. */
export function myEdge() {
  return edgeOf(BASE_URLS, exec.vu.idInTest);
}

/** So many come in a second: people do not all sign in within the same millisecond. */
const ARRIVALS_PER_S = 100;

/** When the last of them has come, in ms. */
export const ARRIVED_MS = (1000 * VUS) / ARRIVALS_PER_S;

/** Waits until it is one's turn to come. */
export function arrive() {
  sleep((exec.vu.idInTest - 1) / ARRIVALS_PER_S);
}

/** Signs a guest in: the access token, or nothing, and then it has been counted. */
export function signIn(base) {
  const answer = http.post(`${base}/api/v1/auth/guest`, JSON.stringify({ username: guestName("k6") }), {
    headers: { "Content-Type": "application/json" },
    tags: { name: "guest" },
  });
  if (answer.status >= 200 && answer.status <= 299) return answer.json("access_token");
  fault(`guest sign-in: ${answer.status} ${answer.error || answer.body}`);
  sleep(1); // the next iteration begins at once otherwise
  return undefined;
}

/** Something that must not be. */
export function fault(text) {
  errors.add(1);
  console.error(text);
}

/** A socket at an edge. */
export function connect(base) {
  return new websockets.WebSocket(`${base.replace(/^http/, "ws")}/ws`, [SUBPROTOCOL]);
}

/** A guest's one match. Returns at once; k6 ends the iteration when the socket is closed and no timer is left. */
export function playMatch() {
  const base = myEdge();
  const token = signIn(base);
  if (!token) {
    played.add(false);
    return;
  }
  const player = new Player({ token, play_ms: PLAY_MS, wait_ms: WAIT_MS });
  const socket = connect(base);
  const send = (messages) => {
    for (const message of messages) socket.send(JSON.stringify(message));
    for (const ms of player.input_to_snapshot_ms.splice(0)) inputToSnapshot.add(ms);
    if (player.done) socket.close(1000);
  };
  let timer;
  socket.addEventListener("open", () => {
    send(player.opened(Date.now()));
    timer = setInterval(() => send(player.tick(Date.now())), INPUT_EVERY_MS);
  });
  socket.addEventListener("message", (event) => send(player.received(JSON.parse(event.data), Date.now())));
  socket.addEventListener("error", (event) => {
    if (!player.done) player.fail(`socket: ${event.error}`);
  });
  socket.addEventListener("close", (event) => {
    clearInterval(timer);
    player.closed(event.code);
    report(player);
  });
}

function report(player) {
  for (const error of player.errors) fault(error);
  snapshots.add(player.snapshots);
  unpaired.add(player.state === "unpaired" ? 1 : 0);
  // Each match has two players, and both of them count half.
  matches.add(player.state === "played" ? 0.5 : 0);
  if (player.state !== "unpaired") played.add(player.state === "played");
}

/**
 * For `handleSummary`: prints each threshold with its verdict, then every metric; writes SUMMARY.json and SUMMARY.md where
 * SUMMARY names a path without ending.
 */
export function summary(name) {
  return (data) => {
    const number = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(2));
    const values = (metric) => Object.entries(metric.values).map(([key, value]) => `${key}=${number(value)}`).join(" ");
    const metrics = Object.entries(data.metrics).sort(([a], [b]) => (a < b ? -1 : 1));
    const verdicts = metrics.flatMap(([metric, { thresholds = {} }]) =>
      Object.entries(thresholds).map(([threshold, { ok }]) => ({ ok, text: `${metric} ${threshold}` })),
    );
    const lines = [
      ...verdicts.map(({ ok, text }) => `${ok ? "✓" : "✗"} ${text}`),
      "",
      ...metrics.map(([metric, found]) => `${metric.padEnd(32)} ${values(found)}`),
      "",
    ];
    const files = { stdout: lines.join("\n") };
    if (__ENV.SUMMARY) {
      files[`${__ENV.SUMMARY}.json`] = JSON.stringify(data, null, 2);
      files[`${__ENV.SUMMARY}.md`] = [
        `# ${name}`,
        "",
        "| service level | |",
        "|---|---|",
        ...verdicts.map(({ ok, text }) => `| \`${text}\` | ${ok ? "met" : "**not met**"} |`),
        "",
        "| metric | values |",
        "|---|---|",
        ...metrics.map(([metric, found]) => `| \`${metric}\` | ${values(found)} |`),
        "",
      ].join("\n");
    }
    return files;
  };
}
