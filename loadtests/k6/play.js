// k6: guests who sign in, queue, play and leave, again and again. Parameters by environment (k6 run -e NAME=value):
//   BASE_URLS   the edges, separated by commas         http://localhost:8080,http://localhost:8081
//   VUS         players at once, at least 2            10
//   DURATION    for how long new matches are begun     30s
//   PLAY_S      how long each match is played, in s    5
//
// Fails when a request takes 200 ms or an input takes 50 ms to show in a snapshot (both p95), or when anything is
// refused, lost or late.

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

const BASE_URLS = __ENV.BASE_URLS || "http://localhost:8080,http://localhost:8081";
const VUS = Number(__ENV.VUS || 10);
const DURATION = __ENV.DURATION || "30s";
const PLAY_MS = 1000 * Number(__ENV.PLAY_S || 5);
const WAIT_MS = 10_000;
if (!(VUS >= 2)) throw new Error("VUS must be at least 2: a match has two players");

const inputToSnapshot = new Trend("rally_input_to_snapshot_ms", true);
const played = new Rate("rally_played");
const matches = new Counter("rally_matches_played");
const unpaired = new Counter("rally_unpaired");
const errors = new Counter("rally_errors");
const snapshots = new Counter("rally_snapshots");

export const options = {
  scenarios: {
    play: { executor: "constant-vus", vus: VUS, duration: DURATION, gracefulStop: `${PLAY_MS / 1000 + 30}s` },
  },
  thresholds: {
    http_req_duration: ["p(95)<200"],
    http_req_failed: ["rate==0"],
    rally_input_to_snapshot_ms: ["p(95)<50"],
    rally_errors: ["count==0"],
    rally_played: ["rate==1"],
    // Half of the players are on each side of a match; at the end of the run one may be left without an opponent.
    rally_matches_played: [`count>=${Math.floor(VUS / 2)}`],
    rally_unpaired: ["count<=1"],
  },
  summaryTrendStats: ["min", "med", "p(95)", "p(99)", "max"],
};

export default function () {
  const base = edgeOf(BASE_URLS, exec.vu.idInTest);
  const answer = http.post(`${base}/api/v1/auth/guest`, JSON.stringify({ username: guestName("k6") }), {
    headers: { "Content-Type": "application/json" },
    tags: { name: "guest" },
  });
  if (answer.status < 200 || answer.status > 299) {
    report({ state: "failed", errors: [`guest sign-in: ${answer.status} ${answer.error || answer.body}`], snapshots: 0 });
    sleep(1); // the next iteration begins at once otherwise
    return;
  }
  play(base, new Player({ token: answer.json("access_token"), play_ms: PLAY_MS, wait_ms: WAIT_MS }));
}

/** Returns at once; k6 ends the iteration when the socket is closed and no timer is left. */
function play(base, player) {
  const socket = new websockets.WebSocket(`${base.replace(/^http/, "ws")}/ws`, [SUBPROTOCOL]);
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
  errors.add(player.errors.length);
  for (const error of player.errors) console.error(error);
  snapshots.add(player.snapshots);
  unpaired.add(player.state === "unpaired" ? 1 : 0);
  // Each match has two players, and both of them count half.
  matches.add(player.state === "played" ? 0.5 : 0);
  if (player.state !== "unpaired") played.add(player.state === "played");
}
