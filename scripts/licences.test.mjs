import assert from "node:assert/strict";
import { test } from "node:test";

import { allowedByPolicy, isAllowed } from "./licences.mjs";

const allowed = new Set(["MIT", "Apache-2.0", "ISC"]);

test("expressions are judged", () => {
  for (const [expression, expected] of [
    ["MIT", true],
    ["MIT OR GPL-3.0", true],
    ["GPL-3.0 OR MIT", true],
    ["MIT AND GPL-3.0", false],
    ["(MIT OR GPL-3.0) AND ISC", true],
    ["(MIT AND GPL-3.0) OR AGPL-3.0", false],
    ["MIT/Apache-2.0", true],
    ["Apache-2.0 WITH LLVM-exception", true],
    ["GPL-2.0 WITH Classpath-exception-2.0", false],
    ["", false],
  ]) {
    assert.equal(isAllowed(expression, allowed), expected, expression);
  }
});

test("the policy is read", () => {
  assert.deepEqual(allowedByPolicy('[licenses]\nallow = ["MIT", "ISC"]\n'), new Set(["MIT", "ISC"]));
  assert.throws(() => allowedByPolicy("[licenses]\n"));
});
