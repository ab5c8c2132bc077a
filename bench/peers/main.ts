/** The driver of a peer from npm: `main.ts NAME`. */
import { serve } from "../runner/serve.ts";

const name = process.argv[2] ?? "";
if (name === "bullmq") {
  const { loops, close } = await import("./bullmq.ts");
  await serve(loops, close);
} else {
  const { POOL_MAKERS } = await import("./pools.ts");
  const { poolLoops } = await import("./loops.ts");
  const make = POOL_MAKERS[name];
  if (make === undefined) throw new Error(`no pool is called ${name}`);
  await serve(poolLoops(make));
}
// Not every pool lets its process end by itself.
process.exit();
