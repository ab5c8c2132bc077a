/** Rows of several nodes. */
import type { Row } from "../definitions.ts";

const area = "nodes";

export const nodes: readonly Row[] = [
  {
    id: "node-to-node",
    area,
    title: "1 GiB from node to node on loopback",
    unit: "GB/s",
    perCall: 1,
    contenders: ["mobula", "limit", "ray"],
    bars: [
      { kind: "times", rival: "limit", times: 0.8 },
      { kind: "times", rival: "ray", times: 2 },
    ],
    note:
      "Between the stores of two processes, as their daemons do it. The limit is one stream read by `onread`, from 1 GiB of memory into " +
      "1 GiB of memory that are both warm. On loopback neither sums its bytes.",
  },
  {
    id: "node-to-node-checked",
    area,
    title: "the same with checksums, as between machines",
    unit: "GB/s",
    perCall: 1,
    contenders: ["mobula", "limit"],
    bars: [],
    note: "Both ends read every byte once more: memory is the limit here, where between machines it is the wire.",
  },
];
