// Fails when a crate imports upwards or a neighbour: `node scripts/layers.mjs` asks cargo for the workspace's crates
// and compares them with the table below, which says the same as docs/ARCHITECTURE.md. A new crate needs a line here.
//
//   bin     rally                    wiring; imported by none
//   shells  edge      worker         tasks, sockets, effects; never each other
//   ports   fabric store service     joined by shells only
//   logic   link      room           state machines: no async, clock, entropy
//   values  protocol  sim            mutually unaware
//   base    units
//
// Dev-dependencies are free (a test may join what the code must not), normal and build dependencies are not.

import { execFileSync } from "node:child_process";
import { pathToFileURL } from "node:url";

/** Which of our crates each may import. The edge knows no game rule: neither `room` nor `sim` is on its line. */
export const MAY_IMPORT = {
  "rally-units": [],
  "rally-protocol": ["rally-units"],
  "rally-sim": ["rally-units"],
  "rally-link": ["rally-protocol", "rally-units"],
  "rally-room": ["rally-protocol", "rally-sim", "rally-units"],
  "rally-fabric": ["rally-protocol", "rally-units"],
  "rally-store": ["rally-units"],
  "rally-service": ["rally-units"],
  "rally-web": [],
  "rally-edge": ["rally-fabric", "rally-link", "rally-protocol", "rally-service", "rally-store", "rally-units", "rally-web"],
  "rally-worker": ["rally-fabric", "rally-protocol", "rally-room", "rally-service", "rally-sim", "rally-store", "rally-units"],
  rally: [
    "rally-edge", "rally-fabric", "rally-link", "rally-protocol", "rally-room", "rally-service", "rally-sim", "rally-store",
    "rally-units", "rally-web", "rally-worker",
  ],
  // What operators see: the program's help, and nothing of its code.
  "rally-manifests": [],
  // Beside the cluster: honest clients see the wire only, and what tests need is in no shipped program.
  "rally-client": ["rally-protocol", "rally-units"],
  "rally-swarm": ["rally-client", "rally-protocol", "rally-units"],
  // What inflicts faults starts real servers and processes, as tests do; it ships with nothing.
  "rally-chaos": ["rally-service", "rally-swarm", "rally-testkit"],
  "rally-testkit": ["rally-client", "rally-fabric", "rally-protocol", "rally-service", "rally-store", "rally-units"],
};

/** Libraries that only some crates may name, so that each can be replaced in one place. */
export const BEHIND = {
  fred: ["rally-fabric", "rally-testkit"],
  "tokio-postgres": ["rally-store", "rally-testkit"],
  "tokio-postgres-rustls": ["rally-store"],
  "deadpool-postgres": ["rally-store"],
  refinery: ["rally-store"],
  "k8s-openapi": ["rally-manifests"],
};

/** Crates without IO, and what would bring it in: async, clocks, entropy, logs, sockets. */
export const PURE = ["rally-units", "rally-protocol", "rally-sim", "rally-link", "rally-room"];
export const IMPURE = [
  "anyhow", "axum", "futures-util", "getrandom", "hyper", "jiff", "metrics", "rand", "rustix", "tokio", "tokio-util", "tracing",
];

/**
 * @param {{name: string, dependencies: {name: string, kind: string | null}[]}[]} packages as `cargo metadata` lists them
 * @returns {string[]} one line for each import that the tables forbid
 */
export function violations(packages) {
  const ours = new Set(packages.map((each) => each.name));
  const found = [];
  for (const { name, dependencies } of packages) {
    const allowed = MAY_IMPORT[name];
    if (!allowed) {
      found.push(`${name} has no line in MAY_IMPORT: decide what it may import`);
      continue;
    }
    const imports = new Set(dependencies.filter((each) => each.kind !== "dev").map((each) => each.name));
    for (const imported of imports) {
      if (ours.has(imported) && !allowed.includes(imported)) found.push(`${name} must not import ${imported}`);
      if (BEHIND[imported] && !BEHIND[imported].includes(name)) {
        found.push(`${name} must not import ${imported}: it is behind ${BEHIND[imported][0]}`);
      }
      if (PURE.includes(name) && IMPURE.includes(imported)) found.push(`${name} must not import ${imported}: it does no IO`);
    }
  }
  return found;
}

function workspace() {
  const output = execFileSync("cargo", ["metadata", "--no-deps", "--format-version", "1"], { maxBuffer: 1 << 26 });
  return JSON.parse(output.toString()).packages;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const packages = workspace();
  const found = violations(packages);
  for (const line of found) console.error(`layers: ${line}`);
  if (found.length > 0) process.exit(1);
  console.log(`layers: ${packages.length} crates import only downwards`);
}
