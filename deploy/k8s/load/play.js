// k6: guests who sign in, queue, play and leave, again and again. Parameters by environment (k6 run -e NAME=value):
//   BASE_URLS   the edges, separated by commas         http://localhost:8080,http://localhost:8081
//   VUS         players at once, at least 2            10
//   DURATION    for how long new matches are begun     30s
//   PLAY_S      how long each match is played, in s    5
//   SUMMARY     path of the report, without ending     none
//
// Fails when a request takes 200 ms or an input takes 50 ms to show in a snapshot (both p95), or when anything is
// refused, lost or late.

import { LEVELS, PLAY_MS, TRENDS, VUS, playMatch, summary } from "./lib.js";

if (!(VUS >= 2)) throw new Error("VUS must be at least 2: a match has two players");

export const options = {
  scenarios: {
    play: {
      executor: "constant-vus",
      vus: VUS,
      duration: __ENV.DURATION || "30s",
      gracefulStop: `${PLAY_MS / 1000 + 30}s`,
    },
  },
  thresholds: {
    ...LEVELS.requests,
    ...LEVELS.players,
    rally_matches_played: [`count>=${Math.floor(VUS / 2)}`],
  },
  summaryTrendStats: TRENDS,
};

export default playMatch;
export const handleSummary = summary("play");
