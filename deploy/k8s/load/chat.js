// k6: people who read the global channel and say something now and then. Parameters by environment:
//   BASE_URLS   the edges, separated by commas           http://localhost:8080,http://localhost:8081
//   VUS         people                                   10
//   STAY_S      how long each stays, in s                20
//   SAY_EVERY_S how often each says something, in s      3 (one a second is what a user may say)
//   SAID_MS     one's own word is back within (p95), in ms   200
//   SUMMARY     path of the report, without ending       none
//
// Fails when one's own word takes 200 ms to come back (p95), or when offsets have holes, or anything is refused.

import exec from "k6/execution";
import { Counter, Trend } from "k6/metrics";
import { Chatter } from "../lib/chatter.mjs";
import { ARRIVED_MS, LEVELS, TRENDS, VUS, arrive, connect, fault, myEdge, signIn, summary } from "./lib.js";

const STAY_MS = 1000 * Number(__ENV.STAY_S || 20);
const SAY_EVERY_MS = 1000 * Number(__ENV.SAY_EVERY_S || 3);
const TICK_MS = 100;

const saidToRead = new Trend("rally_said_to_read_ms", true);
const said = new Counter("rally_chat_said");
const read = new Counter("rally_chat_read");
const stayed = new Counter("rally_chat_stayed");

export const options = {
  scenarios: { chat: { executor: "per-vu-iterations", vus: VUS, iterations: 1, maxDuration: `${(STAY_MS + ARRIVED_MS) / 1000 + 60}s` } },
  thresholds: {
    ...LEVELS.requests,
    rally_errors: ["count==0"],
    rally_said_to_read_ms: [`p(95)<${__ENV.SAID_MS || 200}`],
    rally_chat_stayed: [`count==${VUS}`],
  },
  summaryTrendStats: TRENDS,
};

export default function () {
  arrive();
  const base = myEdge();
  const token = signIn(base);
  if (!token) return;
  const name = `k6-${exec.vu.idInTest}-${Math.random().toString(36).slice(2, 8)}`;
  const chatter = new Chatter({ token, name, every_ms: SAY_EVERY_MS, stay_ms: STAY_MS });
  const socket = connect(base);
  const send = (messages) => {
    for (const message of messages) socket.send(JSON.stringify(message));
    for (const ms of chatter.said_to_read_ms.splice(0)) saidToRead.add(ms);
    if (chatter.done) socket.close(1000);
  };
  let timer;
  socket.addEventListener("open", () => {
    send(chatter.opened(Date.now()));
    timer = setInterval(() => send(chatter.tick(Date.now())), TICK_MS);
  });
  socket.addEventListener("message", (event) => send(chatter.received(JSON.parse(event.data), Date.now())));
  socket.addEventListener("error", (event) => {
    if (!chatter.done) chatter.fail(`socket: ${event.error}`);
  });
  socket.addEventListener("close", (event) => {
    clearInterval(timer);
    chatter.closed(event.code);
    for (const error of chatter.errors) fault(error);
    said.add(chatter.said);
    read.add(chatter.read);
    stayed.add(chatter.state === "done" ? 1 : 0);
  });
}

export const handleSummary = summary("chat");
