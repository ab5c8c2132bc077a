/** Rows of objects. */
import type { Row } from "../definitions.ts";

const area = "objects";
const both = ["mobula", "ray"] as const;

const WITHIN =
  "Not compared: a small object of ours stays in the process that put it until another asks for it, while Ray's goes to its store. " +
  "A figure that never leaves the process says nothing beside one that does; the rows called crossing are the ones to compare.";

const getRow = (id: string, name: string, bound?: number): Row => ({
  id,
  area,
  title: `get of ${name} on the same node`,
  unit: "us",
  perCall: 1,
  contenders: both,
  bars: [...(bound === undefined ? [] : [{ kind: "bound", bound } as const]), { kind: "times", rival: "ray", times: 1 }],
});

export const objects: readonly Row[] = [
  {
    id: "A1",
    area,
    title: "get of a small object, within the process",
    unit: "per s",
    perCall: 1,
    contenders: ["mobula"],
    published: 10_618,
    bars: [],
    note: WITHIN,
  },
  {
    id: "A2",
    area,
    title: "put of a small object, within the process",
    unit: "per s",
    perCall: 1,
    contenders: ["mobula"],
    published: 4632,
    bars: [],
    note: WITHIN,
  },
  {
    id: "get-crossing",
    area,
    title: "get of 1,000 small objects that a worker has put",
    unit: "per s",
    perCall: 1000,
    contenders: both,
    bars: [{ kind: "times", rival: "ray", times: 30 }],
    note: "A task puts them and returns their references, the driver gets them all: what A1 is to others.",
  },
  {
    id: "put-crossing",
    area,
    title: "put of 1,000 small objects, each taken by a task",
    unit: "per s",
    perCall: 1000,
    contenders: both,
    bars: [{ kind: "times", rival: "ray", times: 30 }],
    note: "What A2 is to others: the object is put here and read in a worker. The task is counted with it.",
  },
  {
    id: "A3",
    area,
    title: "10 tasks put 100 small objects each",
    unit: "per s",
    perCall: 1000,
    contenders: both,
    published: 12_844,
    bars: [],
  },
  {
    id: "A4",
    area,
    title: "put of 800 MiB",
    unit: "GB/s",
    perCall: 0.8,
    contenders: ["mobula", "limit", "ray"],
    published: 12.83,
    bars: [
      { kind: "times", rival: "limit", times: 0.9 },
      { kind: "times", rival: "ray", times: 1 },
    ],
    note: "Ray counts 0.8 for 838,860,800 bytes, and so do we. The limit is one thread's copy of warm memory.",
  },
  {
    id: "create-buffer",
    area,
    title: "the same space through createBuffer and seal, without a copy",
    unit: "ms",
    perCall: 1,
    contenders: ["mobula", "limit"],
    bars: [{ kind: "times", rival: "limit", times: 20 }],
    note: "The limit is the copy that is not made: less than a twentieth of its time shows that there is none.",
  },
  {
    id: "A6",
    area,
    title: "10 tasks make and put 80 MiB ten times each",
    unit: "GB/s",
    perCall: 8,
    contenders: both,
    published: 40.86,
    bars: [],
  },
  getRow("get-1MiB", "1 MiB", 100),
  getRow("get-16MiB", "16 MiB"),
  getRow("get-128MiB", "128 MiB"),
  getRow("get-1GiB", "1 GiB", 10_000),
  {
    id: "A7",
    area,
    title: "get of an object that holds 10,000 references",
    unit: "per s",
    perCall: 1,
    contenders: both,
    published: 12.12,
    bars: [{ kind: "times", rival: "ray", times: 10 }],
  },
  {
    id: "A8",
    area,
    title: "1,000 tasks, awaited one by one with wait over the rest",
    unit: "per s",
    perCall: 1,
    contenders: both,
    published: 4.93,
    bars: [{ kind: "times", rival: "ray", times: 10 }],
  },
];
