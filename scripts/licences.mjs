// Fails when a dependency has a licence that is not allowed: `node scripts/licences.mjs`. What deny.toml allows goes for
// crates and for packages that the page ships; tools that only build and test may be under a few more. Reads lock files
// and cargo's own metadata, so that it needs no other tool.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Of tools that are run and not passed on. */
const TOOLS_TOO = ["0BSD", "BSD-2-Clause", "BlueOak-1.0.0", "CC0-1.0", "CC-BY-4.0", "MPL-2.0", "Python-2.0", "WTFPL"];

/** Packages whose lock file does not say their licence; their LICENSE does. */
const UNSAID = { "node_modules/xmlhttprequest-ssl": "MIT" };

/** Whether an SPDX expression can be fulfilled with allowed licences alone. */
export function isAllowed(expression, allowed) {
  const words = expression.replaceAll("/", " OR ").match(/\(|\)|[^\s()]+/g) ?? [];
  let at = 0;
  const term = () => {
    if (words[at] === "(") {
      at += 1;
      const inner = either();
      at += 1; // )
      return inner;
    }
    let name = words[at++];
    if (words[at] === "WITH") name += ` WITH ${words[(at += 2) - 1]}`;
    // An exception only ever permits more.
    return allowed.has(name) || allowed.has(name?.split(" WITH ")[0]);
  };
  const both = () => {
    let all = term();
    while (words[at] === "AND") {
      at += 1;
      all = term() && all;
    }
    return all;
  };
  function either() {
    let any = both();
    while (words[at] === "OR") {
      at += 1;
      any = both() || any;
    }
    return any;
  }
  return either() && at >= words.length;
}

/** The list in deny.toml. */
export function allowedByPolicy(denyToml) {
  const list = /^allow = \[([^\]]*)\]/m.exec(denyToml);
  if (!list) throw new Error("deny.toml has no list of licences");
  return new Set([...list[1].matchAll(/"([^"]+)"/g)].map((match) => match[1]));
}

function crates(allowed) {
  // What is built here: packages for other systems are not even downloaded.
  const host = /^host: (.+)$/m.exec(execFileSync("rustc", ["-vV"], { encoding: "utf8" }))[1];
  const text = execFileSync("cargo", ["metadata", "--format-version", "1", "--locked", "--filter-platform", host], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const bad = [];
  const { packages } = JSON.parse(text);
  for (const { name, version, license, source } of packages) {
    if (source && !isAllowed(license ?? "", allowed)) bad.push(`crate ${name} ${version}: ${license ?? "no licence"}`);
  }
  return [packages.length, bad];
}

function npm(lockFile, allowed, allowedTools) {
  const bad = [];
  const { packages } = JSON.parse(readFileSync(lockFile, "utf8"));
  const all = Object.entries(packages).filter(([path, { link }]) => path !== "" && !link);
  for (const [path, { version, license = UNSAID[path], dev }] of all) {
    if (!isAllowed(license ?? "", dev ? allowedTools : allowed)) {
      bad.push(`${lockFile}: ${path} ${version}: ${license ?? "no licence"}`);
    }
  }
  return [all.length, bad];
}

function main() {
  const allowed = allowedByPolicy(readFileSync("deny.toml", "utf8"));
  const tools = new Set([...allowed, ...TOOLS_TOO]);
  const parts = [
    crates(allowed),
    npm("crates/web/package-lock.json", allowed, tools),
    // Nothing of it is passed on.
    npm("loadtests/artillery/package-lock.json", tools, tools),
  ];
  const bad = parts.flatMap(([, faults]) => faults);
  for (const fault of bad) console.error(fault);
  console.log(`${parts.reduce((sum, [count]) => sum + count, 0)} dependencies, ${bad.length} with a licence that is not allowed`);
  process.exitCode = bad.length > 0 ? 1 : 0;
}

if (import.meta.filename === process.argv[1]) main();
