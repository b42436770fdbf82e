// k6: a storm of reconnections. Everybody is connected, loses the connection at the same moment, and comes back at once, as
// after a proxy's restart. Parameters by environment:
//   BASE_URLS   the edges, separated by commas    http://localhost:8080,http://localhost:8081
//   VUS         connections                       10
//   ROUNDS      storms                            3
//   CALM_S      between two storms, in s          5
//   SUMMARY     path of the report                none
//
// Fails when one is not back within 2 s (p95), or not at all.

import exec from "k6/execution";
import { Counter, Trend } from "k6/metrics";
import { ARRIVED_MS, LEVELS, TRENDS, VUS, arrive, connect, fault, myEdge, signIn, summary } from "./lib.js";

const ROUNDS = Number(__ENV.ROUNDS || 3);
const CALM_MS = 1000 * Number(__ENV.CALM_S || 5);
/** Until everybody is signed in and connected for the first time. */
const BEGIN_MS = ARRIVED_MS + 2 * CALM_MS;
const LOST_AFTER_MS = 15_000;

const back = new Trend("rally_reconnected_ms", true);
const storms = new Counter("rally_reconnections");

export const options = {
  scenarios: {
    storm: { executor: "per-vu-iterations", vus: VUS, iterations: 1, maxDuration: `${BEGIN_MS / 1000 + (ROUNDS + 1) * (CALM_MS / 1000 + 15)}s` },
  },
  thresholds: {
    ...LEVELS.requests,
    rally_errors: ["count==0"],
    rally_reconnected_ms: ["p(95)<2000"],
    rally_reconnections: [`count==${VUS * ROUNDS}`],
  },
  summaryTrendStats: TRENDS,
};

export default function () {
  arrive();
  const base = myEdge();
  const token = signIn(base);
  if (token) stay(base, token, 0);
}

/** One connection, and the next after it. */
function stay(base, token, round) {
  const began_ms = Date.now();
  const socket = connect(base);
  let welcomed = false;
  const lost = setTimeout(() => {
    fault(`no welcome within ${LOST_AFTER_MS} ms in round ${round}`);
    socket.close();
  }, LOST_AFTER_MS);
  socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "hello", token })));
  socket.addEventListener("message", (event) => {
    if (welcomed || JSON.parse(event.data).type !== "welcome") return;
    welcomed = true;
    clearTimeout(lost);
    if (round > 0) {
      back.add(Date.now() - began_ms);
      storms.add(1);
    }
    // All at once: at a time that all know.
    const storm_ms = exec.scenario.startTime + BEGIN_MS + round * CALM_MS;
    setTimeout(() => {
      socket.close(1000);
      if (round < ROUNDS) stay(base, token, round + 1);
    }, Math.max(0, storm_ms - Date.now()));
  });
  socket.addEventListener("error", (event) => {
    if (!welcomed) {
      clearTimeout(lost);
      fault(`socket: ${event.error}`);
    }
  });
}

export const handleSummary = summary("spike");
