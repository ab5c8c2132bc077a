/** Which files the job reads, and how they are dealt out to tasks. */
import fs from "node:fs";
import path from "node:path";

export interface SourceFile {
  readonly path: string;
  readonly bytes: number;
}

const SOURCE = /\.[cm]?[jt]sx?$/;

/** Every JavaScript and TypeScript file below `folder`, declarations included. */
export function sourceFiles(folder: string): SourceFile[] {
  const found: SourceFile[] = [];
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) found.push(...sourceFiles(file));
    else if (entry.isFile() && SOURCE.test(entry.name)) found.push({ path: file, bytes: fs.statSync(file).size });
  }
  return found;
}

/** Deals files into `count` batches of about the same number of bytes: the largest first, each to the lightest batch. */
export function deal(files: readonly SourceFile[], count: number): SourceFile[][] {
  const batches = Array.from({ length: Math.min(count, files.length) }, () => ({ bytes: 0, files: [] as SourceFile[] }));
  for (const file of [...files].sort((a, b) => b.bytes - a.bytes || a.path.localeCompare(b.path))) {
    const lightest = batches.reduce((best, batch) => (batch.bytes < best.bytes ? batch : best));
    lightest.files.push(file);
    lightest.bytes += file.bytes;
  }
  return batches.map((batch) => batch.files);
}
