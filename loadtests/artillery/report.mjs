// Artillery's results for people, in the form of k6's: `node report.mjs NAME SUMMARY` reads SUMMARY.json (its --output) and
// SUMMARY.txt (what it said, verdicts among it) and writes SUMMARY.md.

import { readFileSync, writeFileSync } from "node:fs";

const [name, summary] = process.argv.slice(2);
const { counters, rates, summaries } = JSON.parse(readFileSync(`${summary}.json`, "utf8")).aggregate;
const said = readFileSync(`${summary}.txt`, "utf8");

const verdicts = [...said.matchAll(/^(ok|fail): (.+)$/gm)];
const values = (of) => ["min", "p50", "p95", "p99", "max"].map((key) => `${key}=${of[key]}`).join(" ");
const metrics = [
  ...Object.entries({ ...counters, ...rates }).map(([metric, value]) => [metric, String(value)]),
  ...Object.entries(summaries ?? {}).map(([metric, found]) => [metric, values(found)]),
].sort(([a], [b]) => (a < b ? -1 : 1));

const lines = [
  `# ${name}`,
  "",
  "| service level | |",
  "|---|---|",
  ...verdicts.map(([, verdict, text]) => `| \`${text}\` | ${verdict === "ok" ? "met" : "**not met**"} |`),
  "",
  "| metric | values |",
  "|---|---|",
  ...metrics.map(([metric, found]) => `| \`${metric}\` | ${found} |`),
  "",
];
writeFileSync(`${summary}.md`, lines.join("\n"));
