/** Which machine this is: processes with the same id can use each other's files, sockets and memory. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";

/** Differs between containers and network namespaces of one kernel only as far as their files do. */
export function machineId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return hostname();
  }
}
