/** Rows of tasks. Ray's definitions and published figures: release 2.55.0, one machine of 64 vCPU. */
import { POOLS } from "../definitions.ts";
import type { Row } from "../definitions.ts";

const area = "tasks";

export const tasks: readonly Row[] = [
  {
    id: "A9",
    area,
    title: "one task at a time",
    unit: "per s",
    perCall: 1,
    contenders: ["mobula", "limit", ...POOLS, "bullmq", "ray"],
    published: 813,
    bars: [
      { kind: "times", rival: "limit", times: 1 / 1.5 },
      { kind: "times", rival: "ray", times: 8 },
      { kind: "times", rival: "npm processes", times: 1 },
    ],
  },
  {
    id: "A10",
    area,
    title: "1,000 tiny tasks, then get all",
    unit: "per s",
    perCall: 1000,
    contenders: ["mobula", "limit", ...POOLS, "bullmq", "ray"],
    published: 7097,
    bars: [
      { kind: "times", rival: "limit", times: 0.25, wanted: 0.4 },
      { kind: "times", rival: "npm", times: 3 },
      { kind: "times", rival: "ray", times: 15 },
    ],
    note: "Ray's A5 is the same loop counted in batches: 5.48 batches a second published.",
  },
  {
    id: "A11",
    area,
    title: "4 actors submit 10,000 tasks each",
    unit: "per s",
    perCall: 40_000,
    contenders: ["mobula", "limit", "ray"],
    published: 21_137,
    bars: [
      { kind: "times", rival: "limit", times: 0.25, wanted: 0.4 },
      { kind: "times", rival: "ray", times: 5 },
    ],
  },
  {
    id: "chain",
    area,
    title: "a chain of 1,000: each task takes the reference of the last",
    unit: "per s",
    perCall: 1000,
    contenders: ["mobula", ...POOLS, "ray"],
    bars: [{ kind: "times", rival: "ray", times: 10 }],
    note: "The pools have no references: their chain awaits each value and hands it on.",
  },
  {
    id: "tree",
    area,
    title: "a tree that adds up 1,024 numbers two by two",
    unit: "per s",
    perCall: 1023,
    contenders: ["mobula", ...POOLS, "ray"],
    bars: [{ kind: "times", rival: "ray", times: 10 }],
    note: "The pools have no references: their tree awaits each layer.",
  },
  {
    id: "fairness",
    area,
    title: "1,000 tiny tasks behind one of 2 s, on 2 workers: until they are done",
    unit: "ms",
    perCall: 1,
    contenders: ["mobula", ...POOLS, "ray"],
    bars: [{ kind: "bound", bound: 300 }],
    rounds: 2,
  },
];
