/**
 * What runs in the workers. This file is reached by an import, so it crosses by reference: a worker imports it, and
 * nothing of it is sent. The same functions run in one process for the comparison.
 */
import { readFileSync } from "node:fs";
import { get } from "mobula";
import type { ActorHandle } from "mobula";
import type { SourceFile } from "./files.ts";
import { addTo, bytesOf, pack } from "./table.ts";
import type { Table } from "./table.ts";
import { countIdentifiers } from "./tokenise.ts";

/** A part of the counts, with what it took to make it. */
export interface Part {
  readonly table: Table;
  readonly tasks: number;
  /** Bytes of counts that went from one task to another. */
  readonly moved: number;
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

/** Reads and counts some files, in one Map. */
export function countAll(files: readonly SourceFile[], counts = new Map<string, number>()): Map<string, number> {
  for (const file of files) countIdentifiers(readFileSync(file.path, "utf8"), counts);
  return counts;
}

/** A leaf of the tree. */
export async function countFiles(files: readonly SourceFile[], progress: ActorHandle<Progress>): Promise<Part> {
  const table = pack(countAll(files));
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  // Awaited, so that the progress is whole when the last task has ended; meanwhile another task may have this processor.
  await get(progress.add.remote(files.length, bytes));
  return { table, tasks: 1, moved: 0 };
}

/** A branch of the tree: the parts arrive as references, their tables are read where they lie. */
export function merge(...parts: Part[]): Part {
  const sum = new Map<string, number>();
  for (const { table } of parts) addTo(sum, table);
  return {
    table: pack(sum),
    tasks: parts.reduce((tasks, part) => tasks + part.tasks, 1),
    moved: parts.reduce((moved, part) => moved + part.moved + bytesOf(part.table), 0),
  };
}
