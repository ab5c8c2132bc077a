/**
 * How long a value takes to bytes and back, against v8.serialize and msgpackr. For people: `npx tsx scripts/values-speed.ts`.
 */
import { deserialize, serialize } from "node:v8";
import { Packr } from "msgpackr";
import { ValueCodec, openPacked, packInline } from "../src/values/codec.ts";

const refuse = (): never => {
  throw new Error("no functions in this measurement");
};
const codec = new ValueCodec({ describe: () => undefined, revive: refuse }, { capture: refuse, rebuild: refuse });
const packr = new Packr({ moreTypes: true, structuredClone: true });

const record = { id: 17, name: "Ada Lovelace", tags: ["a", "b"], position: { x: 1.5, y: -2.25 }, active: true };
const values: Readonly<Record<string, unknown>> = {
  "[1]": [1],
  '["ok", {a: 1}]': ["ok", { a: 1 }],
  "3 arguments": ["train", 0.25, { epochs: 3, seed: 42 }],
  "one record": [record],
  "100 records": [Array.from({ length: 100 }, (_, i) => ({ ...record, id: i }))],
  "1000 integers": [Array.from({ length: 1000 }, (_, i) => i * 7)],
  "1000 floats": [Array.from({ length: 1000 }, (_, i) => i / 7)],
  "100 rows of 10": [Array.from({ length: 100 }, () => Array.from({ length: 10 }, (_, i) => i))],
  "map of 100": [new Map(Array.from({ length: 100 }, (_, i) => [`key ${i}`, i]))],
  "text of 10,000": ["lorem ipsum ".repeat(834)],
  "Float64Array(8)": [new Float64Array(8)],
  "Float64Array(10,000)": [new Float64Array(10_000)],
};

/** Nanoseconds a call: the best of several rounds, because others use the machine too. */
function time(run: () => unknown): number {
  let rounds = 1;
  let best = Infinity;
  const until = performance.now() + 500;
  for (;;) {
    const start = performance.now();
    for (let i = 0; i < rounds; i++) run();
    const took = performance.now() - start;
    if (took < 10) rounds *= 2;
    else best = Math.min(best, (took * 1e6) / rounds);
    if (performance.now() > until && best < Infinity) return best;
  }
}

const columns = ["value", "bytes", "encode", "decode", "v8 ser", "v8 des", "msgpackr", "unpack", "clone"];
console.log(columns.map((name, i) => (i === 0 ? name.padEnd(22) : name.padStart(9))).join(""));
for (const [name, value] of Object.entries(values)) {
  const image = packInline(codec.encode(value, "args"));
  const v8Image = serialize(value);
  const packed = packr.pack(value);
  const decode = (): unknown => {
    const opened = openPacked(image, { copy: true });
    return codec.decode(opened.inband, opened.buffer);
  };
  const figures = [
    image.byteLength,
    time(() => packInline(codec.encode(value, "args"))),
    time(decode),
    time(() => serialize(value)),
    time(() => deserialize(v8Image)),
    time(() => packr.pack(value)),
    time(() => packr.unpack(packed)),
    time(() => structuredClone(value)),
  ];
  console.log(name.padEnd(22) + figures.map((figure) => figure.toFixed(0).padStart(9)).join(""));
}
