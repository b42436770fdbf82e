// The layering check itself: each kind of forbidden import is found, and nothing else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MAY_IMPORT, violations } from "./layers.mjs";

const crate = (name, ...dependencies) => ({
  name,
  dependencies: dependencies.map((each) => (typeof each === "string" ? { name: each, kind: null } : each)),
});
const workspace = (...packages) => {
  const given = new Set(packages.map((each) => each.name));
  return [...packages, ...Object.keys(MAY_IMPORT).filter((name) => !given.has(name)).map((name) => crate(name))];
};

test("what the table allows is allowed", () => {
  const all = Object.entries(MAY_IMPORT).map(([name, imports]) => crate(name, ...imports));
  assert.deepEqual(violations(all), []);
});

test("an import upwards is found", () => {
  assert.deepEqual(violations(workspace(crate("rally-sim", "rally-room"))), ["rally-sim must not import rally-room"]);
});

test("a neighbour's import is found", () => {
  assert.deepEqual(violations(workspace(crate("rally-edge", "rally-worker"))), ["rally-edge must not import rally-worker"]);
  assert.deepEqual(violations(workspace(crate("rally-store", "rally-fabric"))), ["rally-store must not import rally-fabric"]);
});

test("the edge knows no rule", () => {
  assert.equal(violations(workspace(crate("rally-edge", "rally-room", "rally-sim"))).length, 2);
});

test("build dependencies count, dev-dependencies do not", () => {
  const through = (kind) => violations(workspace(crate("rally-fabric", { name: "rally-testkit", kind })));
  assert.equal(through("build").length, 1);
  assert.deepEqual(through("dev"), []);
});

test("a library stays behind its port", () => {
  assert.deepEqual(violations(workspace(crate("rally-edge", "fred"))), ["rally-edge must not import fred: it is behind rally-fabric"]);
  assert.deepEqual(violations(workspace(crate("rally-fabric", "fred"))), []);
});

test("a pure crate brings in no IO", () => {
  assert.deepEqual(violations(workspace(crate("rally-link", "tokio"))), ["rally-link must not import tokio: it does no IO"]);
});

test("a crate without a line is found", () => {
  assert.match(violations(workspace(crate("rally-new")))[0], /^rally-new has no line/);
});

test("the table has no loop", () => {
  const visiting = new Set();
  const done = new Set();
  const visit = (name) => {
    assert.ok(!visiting.has(name), `${name} imports itself`);
    if (done.has(name)) return;
    visiting.add(name);
    for (const each of MAY_IMPORT[name]) visit(each);
    visiting.delete(name);
    done.add(name);
  };
  for (const name of Object.keys(MAY_IMPORT)) visit(name);
  assert.equal(done.size, Object.keys(MAY_IMPORT).length);
});
