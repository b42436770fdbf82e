import assert from "node:assert/strict";
import { test } from "node:test";

import { findings } from "./secrets.mjs";

test("secrets are found, each with its line", () => {
  const key = "k".repeat(43) + "=";
  for (const [what, line] of [
    ["a private key", "-----BEGIN EC PRIVATE KEY-----"],
    ["a key of AWS", "id = AKIAIOSFODNN7ABCDEFG"],
    ["a token of GitHub", `token: ghp_${"a1B2".repeat(9)}`],
    ["a webhook of Slack", "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijkl"],
    ["a key of a cluster", `RALLY_CLUSTER_KEYS=${key}`],
    ["a key of a cluster", `"RALLY_SIGNING_KEYS": "${key}"`],
    ["a password in a URL", "redis://:f83hfks83jf@10.0.0.1:6379"],
    ["a password in a URL", "postgres://rally:Zk38dkw9@db.internal/rally"],
    ["a signed token", `eyJ${"a".repeat(20)}.eyJ${"b".repeat(20)}.${"c".repeat(43)}`],
  ]) {
    assert.deepEqual(findings(`first\n${line}\n`), [`2: ${what}`], line);
  }
});

test("what is none is not", () => {
  for (const line of [
    "postgres://rally@127.0.0.1:5432/rally",
    "redis_url=redis://:$redis@rally-redis:6379",
    "postgres://rally:${password}@host/rally",
    "postgres://user:password@host/db",
    "RALLY_CLUSTER_KEYS_FILE: /run/secrets/cluster_keys",
    "http://localhost:8080,http://localhost:8081",
    "RALLY_CLUSTER_KEYS=",
  ]) {
    assert.deepEqual(findings(line), [], line);
  }
});
