/**
 * What is known by name: the public API whole, and each class that hides behind what users pass around.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "../../src/api/index.ts";
import { wellKnown } from "../../src/api/well-known.ts";

test("the public API is known by name", () => {
  for (const [name, value] of Object.entries(ray)) assert.equal(wellKnown[name], value, name);
});

test("so are the classes of remote functions and actor classes", () => {
  const classOf = (value: object): unknown => Reflect.get(value, "constructor");
  const known = Object.values(wellKnown);
  assert.ok(known.includes(classOf(ray.remote(() => 1))));
  assert.ok(known.includes(classOf(ray.remote(class A {}))));
});
