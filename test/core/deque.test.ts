/** The queue of waiting tasks against an array: whatever is done to it, also beyond the size at which it lets its ring go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Deque } from "../../src/core/owner/deque.ts";

type Step = { readonly do: "push" | "unshift" | "shift" | "pop" | "keep"; readonly times: number };

const steps = fc.array(
  fc.record<Step>({
    do: fc.constantFrom("push", "unshift", "shift", "pop", "keep"),
    times: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant(5000)),
  }),
  { maxLength: 12 },
);

test("a deque is an array with ends", () => {
  fc.assert(
    fc.property(steps, (list) => {
      const deque = new Deque<number>();
      let model: number[] = [];
      let next = 0;
      for (const step of list) {
        for (let i = 0; i < step.times; i++) {
          if (step.do === "push") {
            deque.push(next);
            model.push(next++);
          } else if (step.do === "unshift") {
            deque.unshift(next);
            model.unshift(next++);
          } else if (step.do === "shift") assert.equal(deque.shift(), model.shift());
          else if (step.do === "pop") assert.equal(deque.pop(), model.pop());
          else if (i === 0) {
            deque.keep((item) => item % 3 !== 0);
            model = model.filter((item) => item % 3 !== 0);
          }
          assert.equal(deque.size, model.length);
        }
        assert.equal(deque.peek(), model[0]);
        assert.equal(deque.at(model.length >> 1), model[model.length >> 1]);
        assert.deepEqual([...deque], model);
      }
    }),
    { numRuns: 150 },
  );
});

test("a deque that was long and is empty is used again", () => {
  const deque = new Deque<number>();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 10_000; i++) deque.push(i);
    for (let i = 0; i < 10_000; i++) assert.equal(deque.shift(), i);
    deque.push(7);
    assert.equal(deque.peek(), 7);
    assert.equal(deque.pop(), 7);
  }
});
