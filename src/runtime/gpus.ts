/**
 * The GPUs of this machine: how many there are, without starting anything, and how those of a call are named for the libraries that
 * use them. Which call gets which is the node machine's to say, by index.
 */
import { readdirSync } from "node:fs";

/** Comma-separated indices or UUIDs: what a CUDA program may see. Not set: all. */
export const VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES";

/** The devices that `CUDA_VISIBLE_DEVICES` names, or undefined if it is not set. */
export function visibleDevices(value: string | undefined): string[] | undefined {
  if (value === undefined) return undefined;
  const names = value.split(",").map((name) => name.trim());
  // As CUDA does: what follows the first name that is no device is not seen.
  const end = names.findIndex((name) => name === "" || name === "-1" || name === "NoDevFiles");
  return end < 0 ? names : names.slice(0, end);
}

/** How many GPUs a node has unless its user says so: those that the driver lists, no more than are visible. */
export function countGpus(visible: string | undefined = process.env[VISIBLE_DEVICES], root = "/"): number {
  const listed = namesIn(`${root}proc/driver/nvidia/gpus`).length;
  // In some containers only the devices are there.
  const count = listed > 0 ? listed : namesIn(`${root}dev`).filter((name) => /^nvidia\d+$/.test(name)).length;
  return Math.min(count, visibleDevices(visible)?.length ?? count);
}

/** The value of `CUDA_VISIBLE_DEVICES` for these GPUs of the node, which itself sees `visible`. */
export function deviceNames(indices: readonly number[], visible: readonly string[] | undefined): string {
  return indices.map((index) => visible?.[index] ?? String(index)).join(",");
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // There is no such driver here.
  }
}
