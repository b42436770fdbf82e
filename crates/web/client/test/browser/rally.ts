// A cluster for the tests: `rally dev` of RALLY_BIN on free ports with its data in a folder of its own.
// RALLY_URLS (two, comma) names a running one instead; its score to win must be 2.

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const START_WITHIN_MS = 120_000;
const STOP_WITHIN_MS = 20_000;

export interface Cluster {
  /** Of its two edges. */
  urls: [string, string];
  stop(): Promise<void>;
}

/** `env`: what its nodes are told besides; then it is one of its own in any case. */
export async function startCluster(env: Record<string, string> = {}): Promise<Cluster> {
  const running = process.env.RALLY_URLS?.split(",") ?? [];
  if (Object.keys(env).length === 0 && running[0] !== undefined && running[1] !== undefined) {
    return { urls: [running[0], running[1]], stop: async () => {} };
  }
  const bin = process.env.RALLY_BIN;
  if (bin === undefined) throw new Error("RALLY_BIN must name the program, or RALLY_URLS a running cluster");

  const folder = await mkdtemp(join(tmpdir(), "rally-browser-"));
  const port = await freePorts(2);
  const admin = await freePorts(4);
  const child = spawn(bin, ["dev", "--data-dir", folder], {
    env: {
      ...process.env,
      ...env,
      RALLY_DEV_PORT: String(port),
      RALLY_DEV_ADMIN_PORT: String(admin),
      RALLY_SCORE_TO_WIN: "2",
      // All of these people come from one address.
      RALLY_LIMIT_EXEMPT: "127.0.0.0/8,::1/128",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-20_000);
    });
  }
  const stop = async () => {
    await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  const urls: [string, string] = [`http://localhost:${port}`, `http://localhost:${port + 1}`];
  try {
    await Promise.all(urls.map((url) => answers(url, child)));
  } catch (error) {
    await stop();
    throw new Error(`the cluster did not start: ${String(error)}\n${said}`);
  }
  return { urls, stop };
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_WITHIN_MS;
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    // Signing in takes all that a match takes: edge, Redis and Postgres.
    const response = await fetch(`${url}/api/v1/auth/guest`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ username: `probe_${Date.now() % 1e9}` }),
      signal: AbortSignal.timeout(2000),
    }).catch(() => null);
    if (response?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`${url} does not answer`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGINT");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
  await ended;
  clearTimeout(timer);
}

/** The first of `count` ports in a row that nobody listens at. */
async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = await bind(0);
    if (first === null || first + count > 65_535) continue;
    const rest = await Promise.all(Array.from({ length: count - 1 }, (_, i) => bind(first + 1 + i)));
    if (!rest.includes(null)) return first;
  }
}

/** The port, if it could be had; it is free again at once. */
function bind(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(null));
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      const got = typeof address === "object" && address !== null ? address.port : null;
      server.close(() => resolve(got));
    });
  });
}
