/** Rows of what grows, of placement groups, and of memory over a long run. */
import type { Row } from "../definitions.ts";

const five = [{ kind: "times", rival: "ray", times: 5 }] as const;

export const scale: readonly Row[] = [
  {
    id: "args-10000",
    area: "scale",
    title: "a task that takes 10,000 references",
    unit: "ms",
    perCall: 1,
    contenders: ["mobula", "ray"],
    bars: five,
    note: "Ray's published scalability test has lists of 10,000 numbers and another machine: 12.27 s. Here the lists have ten.",
  },
  {
    id: "returns-3000",
    area: "scale",
    title: "a task that returns 3,000 values",
    unit: "ms",
    perCall: 1,
    contenders: ["mobula", "ray"],
    bars: five,
  },
  {
    id: "objects-10000",
    area: "scale",
    title: "10,000 objects in one get",
    unit: "ms",
    perCall: 1,
    contenders: ["mobula", "ray"],
    bars: five,
  },
  {
    id: "queued-time",
    area: "scale",
    title: "1,000,000 tasks queued, then run: time of one",
    unit: "us",
    perCall: 1,
    contenders: ["mobula", "ray"],
    published: 140.07,
    bars: [{ kind: "times", rival: "ray", times: 10 }],
    rounds: 2,
    note: "Ray queues 100,000 here, since a million take it minutes; the time of one task is compared. Published: 140 s a million.",
  },
  {
    id: "queued-memory",
    area: "scale",
    title: "1,000,000 tasks queued: the driver's memory for one",
    unit: "bytes",
    perCall: 1,
    contenders: ["mobula"],
    bars: [{ kind: "bound", bound: 1000 }],
    rounds: 2,
    note: "Growth of resident memory from before the first call to after the last one, garbage of the calls included.",
  },
  {
    id: "queued-linear",
    area: "scale",
    title: "one task of 1,000,000 queued beside one of 100,000",
    unit: "%",
    perCall: 1,
    contenders: ["mobula"],
    bars: [{ kind: "bound", bound: 150 }],
    rounds: 2,
    note: "100 % is perfectly linear.",
  },
];

export const groups: readonly Row[] = [
  {
    id: "A23",
    area: "groups",
    title: "placement group create and remove, 100 of one bundle",
    unit: "per s",
    perCall: 100,
    contenders: ["mobula", "ray"],
    published: 657,
    bars: [{ kind: "times", rival: "ray", times: 10 }],
  },
];

export const memory: readonly Row[] = [
  {
    id: "memory-flat",
    area: "memory",
    title: "10,000,000 tiny tasks: growth of driver, daemon and workers after the first 1 %",
    unit: "%",
    perCall: 1,
    contenders: ["mobula"],
    bars: [{ kind: "bound", bound: 10 }],
    rounds: 1,
    note: "Ten thousand in flight at a time; the highest sum of resident memory against the sum after the first hundredth.",
  },
];
