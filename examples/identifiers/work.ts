/**
 * What runs in the workers. This file is reached by an import, so it crosses by reference: a worker imports it, and
 * nothing of it is sent. The same functions run in one process for the comparison.
 */
import { readFileSync } from "node:fs";
import { get } from "mobula";
import type { ActorHandle } from "mobula";
import type { SourceFile } from "./files.ts";
import { addTo, bytesOf, pack } from "./table.ts";
import type { Counts, Table } from "./table.ts";
import { countIdentifiers, dropKeywords } from "./tokenise.ts";

/** What it took to make a part of the counts. */
export interface Work {
  readonly tasks: number;
  /** Bytes of counts that went from one process to another. */
  readonly moved: number;
  /** How long tasks were at it: reading and counting, and merging. */
  readonly countMs: number;
  readonly mergeMs: number;
}

export interface Part {
  readonly table: Table;
  readonly work: Work;
}

export function sum(works: readonly Work[]): Work {
  const total = (of: (work: Work) => number): number => works.reduce((all, work) => all + of(work), 0);
  return {
    tasks: total((work) => work.tasks),
    moved: total((work) => work.moved),
    countMs: total((work) => work.countMs),
    mergeMs: total((work) => work.mergeMs),
  };
}

/** Keeps count of what is done while hundreds of tasks run; anyone may ask. */
export class Progress {
  #files = 0;
  #bytes = 0;
  add(files: number, bytes: number): void {
    this.#files += files;
    this.#bytes += bytes;
  }
  read(): { files: number; bytes: number } {
    return { files: this.#files, bytes: this.#bytes };
  }
}

/** Reads and counts some files. */
export function countAll(files: readonly SourceFile[]): Counts {
  const counts: Counts = new Map();
  for (const file of files) countIdentifiers(readFileSync(file.path, "utf8"), counts);
  dropKeywords(counts);
  return counts;
}

/** A leaf of the tree. */
export async function countFiles(files: readonly SourceFile[], progress: ActorHandle<Progress>): Promise<Part> {
  const startedAt = performance.now();
  const table = pack(countAll(files));
  const countMs = performance.now() - startedAt;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  // Awaited, so that the progress is whole when the last task has ended; meanwhile another task may have this processor.
  await get(progress.add.remote(files.length, bytes));
  return { table, work: { tasks: 1, moved: bytesOf(table), countMs, mergeMs: 0 } };
}

/** A branch of the tree: the parts arrive as references, their tables are read where they lie. */
export function merge(...parts: Part[]): Part {
  const startedAt = performance.now();
  const counts: Counts = new Map();
  for (const { table } of parts) addTo(counts, table);
  const table = pack(counts);
  const own: Work = { tasks: 1, moved: bytesOf(table), countMs: 0, mergeMs: performance.now() - startedAt };
  return { table, work: sum([own, ...parts.map(({ work }) => work)]) };
}
