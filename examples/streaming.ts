/**
 * A pipeline: a generator produces, tasks work on each item while the next is being made, the program takes them in order.
 * The producer stops by itself when sixteen items (`streamBuffer`) wait to be read, so memory stays bounded.
 */
import * as ray from "mobula";

const LINES = ["the sea is calm to-night", "the tide is full", "the moon lies fair", "upon the straits"];

/** A source without an end in sight: a log, a socket, a big file. */
const lines = ray.remote(
  function* (count: number) {
    for (let i = 0; i < count; i++) yield { number: i + 1, text: LINES[i % LINES.length]! };
  },
  { streamBuffer: 16 },
);

const countWords = ray.remote(({ number, text }: { number: number; text: string }) => ({ number, words: text.split(" ").length }));

class Total {
  #words = 0;
  add({ words }: { words: number }) {
    return (this.#words += words);
  }
}
const total = ray.remote(Total).remote();

let last: ray.ObjectRef<number> | undefined;
let seen = 0;
for await (const line of lines.remote(100)) {
  // `line` is a reference: it goes on to the next stage without a stop here.
  const counted = countWords.remote(line);
  last = total.add.remote(counted);
  if (++seen % 25 === 0) console.log(`${seen} lines, ${await ray.get(last)} words`);
}
console.log(`${seen} lines in all, ${await ray.get(last!)} words`);

await ray.shutdown();
