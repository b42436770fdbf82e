// k6: the same as play.js for hours, and an eye on what grows. Parameters as for play.js, and:
//   DURATION       how long                                              1h is what it is for; default 60s
//   METRICS_URLS   admin ports' /metrics, separated by commas            none: then memory is not looked at
//   GROWTH_MAX     bytes that a node's memory may grow by after the      33554432 (32 MiB)
//                  first fifth of the time
//
// Fails as play.js does, and when a node's memory grows by more.

import { sleep } from "k6";
import http from "k6/http";
import exec from "k6/execution";
import { Gauge, Trend } from "k6/metrics";
import { LEVELS, PLAY_MS, TRENDS, VUS, fault, playMatch, seconds, summary } from "./lib.js";

const DURATION_S = seconds(__ENV.DURATION || "60s");
const METRICS_URLS = (__ENV.METRICS_URLS || "").split(",").filter(Boolean);
const GROWTH_MAX = Number(__ENV.GROWTH_MAX || 32 * 1024 * 1024);
const LOOKS = 20;

const memory = new Trend("rally_memory_bytes");
const growth = new Gauge("rally_memory_growth_bytes");

const watching = {
  watch: { executor: "per-vu-iterations", vus: 1, iterations: 1, exec: "watch", maxDuration: `${DURATION_S + 60}s` },
};

export const options = {
  scenarios: {
    play: { executor: "constant-vus", vus: VUS, duration: `${DURATION_S}s`, gracefulStop: `${PLAY_MS / 1000 + 30}s` },
    ...(METRICS_URLS.length > 0 ? watching : {}),
  },
  thresholds: {
    ...LEVELS.requests,
    ...LEVELS.players,
    ...(METRICS_URLS.length > 0 ? { rally_memory_growth_bytes: [`value<${GROWTH_MAX}`] } : {}),
  },
  summaryTrendStats: TRENDS,
};

export default playMatch;

/** Looks at each node's memory now and then. What the first fifth of the time brings is warming up. */
export function watch() {
  const first = {};
  let worst = 0;
  for (let look = 0; look <= LOOKS; look += 1) {
    for (const url of METRICS_URLS) {
      const answer = http.get(url, { tags: { name: "metrics" } });
      const found = /^process_resident_memory_bytes (\S+)$/m.exec(answer.body || "");
      if (!found) {
        fault(`${url}: ${answer.status}, no process_resident_memory_bytes`);
        continue;
      }
      const bytes = Number(found[1]);
      memory.add(bytes, { node: url });
      if (look >= LOOKS / 5) {
        first[url] ??= bytes;
        worst = Math.max(worst, bytes - first[url]);
      }
    }
    growth.add(worst);
    if (exec.scenario.progress >= 1) break;
    sleep(DURATION_S / LOOKS);
  }
}

export const handleSummary = summary("soak");
