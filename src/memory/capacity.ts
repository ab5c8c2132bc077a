/** How large the store of a node is unless its user says so. Reads the machine's state; decides nothing else. */
import { statfsSync } from "node:fs";
import { freemem } from "node:os";

const SMALLEST = 75 * 2 ** 20;
const SHARE = 0.3;
const PAGE = 4096;

/** 30 % of the memory that is available, the limits of the container counted; at least 75 MiB. */
export function defaultCapacity(): number {
  const available = Math.min(process.availableMemory(), freemem());
  return Math.max(SMALLEST, Math.floor((available * SHARE) / PAGE) * PAGE);
}

/** The file backend cannot have more than the file system of its folder has free. */
export function capacityOnFiles(wanted: number, folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return Math.min(wanted, Math.max(PAGE, Math.floor((bavail * bsize * 0.95) / PAGE) * PAGE));
}

/** Large enough that a process seldom asks, small enough that idle ones together hold little of the store. */
export function slabBytesFor(capacity: number): number {
  const share = 2 ** Math.floor(Math.log2(Math.max(capacity / 256, 1)));
  return Math.min(4 * 2 ** 20, Math.max(64 * 1024, share));
}
