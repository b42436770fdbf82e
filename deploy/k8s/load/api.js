// k6: the HTTP API and the page, by guests who are signed in. Parameters by environment:
//   BASE_URLS   the edges, separated by commas                             http://localhost:8080,http://localhost:8081
//   PROFILE     ramp (so many guests at once) or rate (so many requests)   ramp
//   STAGES      ramp: guests at once, one stage after the other            50,100,200
//   STAGE_S     how long each stage lasts, in s; rate: how long all        30
//   RATE        rate: requests a second                                    1000
//   SUMMARY     path of the report, without ending                         none
//
// Fails when a request takes 200 ms (p95) or any fails. An edge lets a guest ask 10 times a second, and an address sign in
// once a second: RALLY_LIMIT_EXEMPT lifts the latter for the load generator.

import { check, sleep } from "k6";
import http from "k6/http";
import { LEVELS, TRENDS, fault, myEdge, signIn, summary } from "./lib.js";

const PROFILE = __ENV.PROFILE || "ramp";
const STAGES = (__ENV.STAGES || "50,100,200").split(",").map(Number);
const STAGE_S = Number(__ENV.STAGE_S || 30);
const RATE = Number(__ENV.RATE || 1000);
/** Of one guest in the ramp. */
const REQUESTS_EVERY_S = 0.5;

const scenarios = {
  ramp: {
    executor: "ramping-vus",
    startVUs: 0,
    // A fifth of each stage is the way up.
    stages: STAGES.flatMap((target) => [
      { target, duration: `${Math.ceil(STAGE_S / 5)}s` },
      { target, duration: `${STAGE_S}s` },
    ]),
    gracefulStop: "10s",
  },
  rate: {
    executor: "constant-arrival-rate",
    rate: RATE,
    duration: `${STAGE_S}s`,
    // Each guest may ask 10 times a second.
    preAllocatedVUs: Math.max(2, Math.ceil(RATE / 5)),
    maxVUs: Math.max(2, Math.ceil(RATE / 2)),
  },
};
if (!scenarios[PROFILE]) throw new Error("PROFILE is ramp or rate");

export const options = {
  scenarios: { api: scenarios[PROFILE] },
  thresholds: {
    ...LEVELS.requests,
    rally_errors: ["count==0"],
    checks: ["rate==1"],
    // Requests that k6 could not send in time are not the cluster's fault, but then the rate was not reached.
    ...(PROFILE === "rate" ? { dropped_iterations: [`count<=${Math.ceil(RATE * STAGE_S * 0.01)}`] } : {}),
  },
  summaryTrendStats: TRENDS,
};

// Of this virtual user.
let token;
let turn = 0;

export default function () {
  const base = myEdge();
  token ||= signIn(base);
  if (!token) return;
  turn += 1;
  if (turn % 10 === 0) {
    check(http.get(`${base}/`, { tags: { name: "page" } }), { "the page is there": (answer) => answer.status === 200 });
  } else {
    const me = http.get(`${base}/api/v1/users/me`, { headers: { Authorization: `Bearer ${token}` }, tags: { name: "me" } });
    const knows = check(me, { "one is who one is": (answer) => answer.status === 200 && Boolean(answer.json("user.id")) });
    if (!knows) fault(`users/me: ${me.status} ${me.body}`);
  }
  if (PROFILE === "ramp") sleep(REQUESTS_EVERY_S);
}

export const handleSummary = summary("api");
