/** Tests of code that uses mobula, under vitest: one cluster a file. */
import * as ray from "mobula";
import { afterAll, beforeAll, expect, test } from "vitest";
import { square } from "./square.ts";

beforeAll(() => ray.init({ numCpus: 2 }));
afterAll(() => ray.shutdown());

test("a function is an ordinary function", () => {
  expect(square(3)).toBe(9);
});

test("a function of a module crosses by reference", async () => {
  const remoteSquare = ray.remote(square);
  expect(await ray.get([1, 2, 3].map((x) => remoteSquare.remote(x)))).toEqual([1, 4, 9]);
});

test("a function of the test crosses by value, with what it captures", async () => {
  const offset = 10;
  const shifted = ray.remote((x: number) => x + offset);
  expect(await ray.get(shifted.remote(5))).toBe(15);
});

test("an actor keeps its state", async () => {
  class Counter {
    #n = 0;
    increment(): number {
      return ++this.#n;
    }
  }
  const counter = ray.remote(Counter).remote();
  counter.increment.remote();
  expect(await ray.get(counter.increment.remote())).toBe(2);
});
