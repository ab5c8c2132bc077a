/** Rows of starting, and of what an idle worker holds. */
import { POOLS } from "../definitions.ts";
import type { Row } from "../definitions.ts";

const area = "start";

export const start: readonly Row[] = [
  {
    id: "first-result",
    area,
    title: "from init() to the first result, cold",
    unit: "ms",
    perCall: 1,
    contenders: ["mobula", "limit", ...POOLS, "ray"],
    bars: [
      { kind: "times", rival: "limit", times: 1 },
      { kind: "times", rival: "ray", times: 8 },
    ],
    note: "The limit is three bare forks of Node in a row, each until it has said that it runs.",
  },
  {
    id: "worker-start",
    area,
    title: "one more worker: a new actor's first answer",
    unit: "ms",
    perCall: 1,
    contenders: ["mobula", "limit", "ray"],
    bars: [
      { kind: "times", rival: "limit", times: 1 / 1.3 },
      { kind: "times", rival: "ray", times: 8 },
    ],
    note: "The limit is one bare fork. Workers that were started ahead are used up first.",
  },
  {
    id: "worker-memory",
    area,
    title: "an idle worker's resident memory",
    unit: "MB",
    perCall: 1,
    contenders: ["mobula", "limit", "ray"],
    bars: [{ kind: "above limit", margin: 20 }],
    note: "The limit is a bare Node that waits.",
  },
];
