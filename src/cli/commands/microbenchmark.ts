/** `mobula microbenchmark`: a few loops, timed. */
import * as ray from "../../index.ts";
import { command } from "../command.ts";
import { targetOf } from "../target.ts";
import { number } from "../values.ts";
import { ADDRESS, DIR } from "./options.ts";

/** The loops of Ray's own `ray microbenchmark` that need no other machine. */
export const microbenchmark = command({
  name: "microbenchmark",
  about: "Time tasks, actor calls and objects: on a cluster of its own, or with --address on that one.",
  options: { address: ADDRESS, dir: DIR, seconds: { value: "N", about: "Per row (default 1)" } },
  example: "mobula microbenchmark --seconds 2",
  async run({ options, output }) {
    const seconds = number("seconds", options.seconds, 0.01, 600) ?? 1;
    await ray.init(options.address === undefined ? { address: "local" } : { address: targetOf(options).address });
    try {
      const rows: { name: string; perSecond: number }[] = [];
      for (const { name, times, run } of loops()) {
        await run();
        const start = performance.now();
        let rounds = 0;
        while (performance.now() - start < seconds * 1000) {
          await run();
          rounds++;
        }
        rows.push({ name, perSecond: Math.round((rounds * times * 1000) / (performance.now() - start)) });
      }
      output.result(rows, () =>
        output.table(
          ["LOOP", "PER SECOND"],
          rows.map(({ name, perSecond }) => [name, perSecond.toLocaleString("en")]),
        ),
      );
    } finally {
      await ray.shutdown();
    }
    return 0;
  },
});

function loops(): { name: string; times: number; run: () => Promise<unknown> }[] {
  const small = ray.remote(() => 1);
  const actor = ray
    .remote(
      class {
        small(): number {
          return 1;
        }
      },
    )
    .remote();
  const big = new Uint8Array(1 << 20);
  return [
    { name: "single client tasks sync", times: 1, run: () => ray.get(small.remote()) },
    { name: "single client tasks async", times: 1000, run: () => ray.get(Array.from({ length: 1000 }, () => small.remote())) },
    { name: "1:1 actor calls sync", times: 1, run: () => ray.get(actor.small.remote()) },
    { name: "1:1 actor calls async", times: 1000, run: () => ray.get(Array.from({ length: 1000 }, () => actor.small.remote())) },
    { name: "put and get of 1 MiB", times: 1, run: () => ray.get(ray.put(big)) },
  ];
}
