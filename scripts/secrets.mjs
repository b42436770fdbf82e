// Fails when a file that git knows looks as if it held a secret: `node scripts/secrets.mjs`. A scan by shapes that real
// secrets have; what is made up for tests and documents is told apart by the names below, not by exceptions per file.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** What a secret looks like. The first group, if there is one, is the secret itself. */
const SHAPES = [
  ["a private key", /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/],
  ["a key of AWS", /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/],
  ["a token of GitHub", /\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b/],
  ["a token of GitLab", /\bglpat-[A-Za-z0-9_-]{20,}/],
  ["a token of Slack", /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/],
  ["a webhook of Slack", /hooks\.slack\.com\/services\/T[A-Z0-9]+\/B[A-Z0-9]+\/[A-Za-z0-9]+/],
  ["a key of Google", /\bAIza[0-9A-Za-z_-]{35}\b/],
  ["a token of npm", /\bnpm_[A-Za-z0-9]{36}\b/],
  ["a key of Stripe", /\b[rs]k_live_[A-Za-z0-9]{20,}/],
  ["a signed token", /\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}/],
  ["a key of a cluster", /RALLY_(?:CLUSTER|SIGNING)_KEYS(?:_FILE)?["']?\s*[:=]\s*["']?([A-Za-z0-9+/]{40,}={0,2})/],
  ["a password in a URL", /\b(?:postgres(?:ql)?|rediss?|amqp|mongodb|mysql|https?):\/\/[^\s:/@"'`{}$<>]*:([^\s:/@"'`{}$<>]{8,})@/],
];

/** A secret that says itself that it is none. */
const MADE_UP = /password|secret|example|placeholder|changeme|change-me|dummy|hunter2|%24x|test|xxxx/i;

/** Findings in a text, as `LINE: what`. */
export function findings(text) {
  return text.split("\n").flatMap((line, i) =>
    SHAPES.flatMap(([what, shape]) => {
      const found = shape.exec(line);
      return found && !MADE_UP.test(found[1] ?? "") ? [`${i + 1}: ${what}`] : [];
    }),
  );
}

/** Names of files that hold secrets and so have no place in a repository. */
const FILES = /(^|\/)(\.env|id_rsa|id_ed25519|.*\.(pem|key|p12|pfx|dump|kdbx))$/;

function main() {
  const files = execFileSync("git", ["ls-files", "-z"], { encoding: "utf8", maxBuffer: 1 << 26 }).split("\0").filter(Boolean);
  const faults = files.filter((file) => FILES.test(file)).map((file) => `${file}: a file of this name holds secrets`);
  for (const file of files) {
    // Shapes of secrets are what these two are about.
    if (/^scripts\/secrets(\.test)?\.mjs$/.test(file)) continue;
    let text;
    try {
      text = readFileSync(file, "utf8");
    } catch {
      continue; // deleted, or a link to somewhere else
    }
    if (!text.includes("\0")) faults.push(...findings(text).map((finding) => `${file}:${finding}`));
  }
  for (const fault of faults) console.error(fault);
  console.log(`${files.length} files looked at, ${faults.length} look as if they held a secret`);
  process.exitCode = faults.length > 0 ? 1 : 0;
}

if (import.meta.filename === process.argv[1]) main();
