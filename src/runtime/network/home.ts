/**
 * The folder of a cluster. Loaded by every program: it imports next to nothing. Paths are absolute: what is started here may run
 * in another folder.
 */
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** Where none is named: MOBULA_HOME, else ~/.mobula. */
export function homeFolder(env: NodeJS.ProcessEnv = process.env): string {
  const named = env["MOBULA_HOME"];
  return named === undefined || named === "" ? join(homedir(), ".mobula") : resolve(named);
}

/** The folder with this machine's certificates, where the environment names one: MOBULA_TLS_DIR. */
export function tlsFolder(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const named = env["MOBULA_TLS_DIR"];
  return named === undefined || named === "" ? undefined : resolve(named);
}
