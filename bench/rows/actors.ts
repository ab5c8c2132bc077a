/** Rows of actor calls. n is 1, half of the cores of two, as Ray has it; "x4" is the same with four, whatever the machine. */
import type { Bar, Row } from "../definitions.ts";

const area = "actors";
const contenders = ["mobula", "limit", "ray"] as const;
const sync: readonly Bar[] = [{ kind: "times", rival: "ray", times: 8 }];
const async: readonly Bar[] = [{ kind: "times", rival: "ray", times: 15 }];

const row = (id: string, title: string, perCall: number, bars: readonly Bar[], published?: number): Row => ({
  id,
  area,
  title,
  unit: "per s",
  perCall,
  contenders,
  ...(published === undefined ? {} : { published }),
  bars,
});

export const actors: readonly Row[] = [
  row("A12", "one call at a time", 1, sync, 1880),
  row("A13", "1,000 calls to one actor, then get all", 1000, [{ kind: "times", rival: "limit", times: 0.25, wanted: 0.4 }, ...async], 8397),
  row("A14", "the same, maxConcurrency 16", 1000, async, 5679),
  row("A15", "an actor calls n others 5,000 times each, n = 1", 5000, async, 7371),
  row("A15x4", "the same, n = 4", 20_000, async),
  row("A16", "4 tasks make 5,000 calls each to n actors, n = 1", 20_000, async, 23_481),
  row("A16x4", "the same, n = 4", 20_000, async),
  row("A17", "n actors make 1,000 calls with a reference each to n others, n = 1", 1000, async, 3223),
  row("A17x4", "the same, n = 4", 4000, async),
  row("A18", "asynchronous actor: one call at a time", 1, sync, 1417),
  row("A19", "asynchronous actor: 1,000 calls, then get all", 1000, async, 4617),
  row("A20", "asynchronous actor: the same with an argument", 1000, async, 2966),
  row("A21", "asynchronous actors: as A15, n = 1", 5000, async, 6908),
  row("A21x4", "the same, n = 4", 20_000, async),
  row("A22", "asynchronous actors: as A16, n = 1", 20_000, async, 21_566),
  row("A22x4", "the same, n = 4", 20_000, async),
];
