/**
 * How a daemon and a worker load the engine's own modules: compiled before where Node keeps that, and in one go. Every process of a
 * cluster pays for it, before it does anything else.
 */
import module, { createRequire } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What Node 20 lacks. */
interface CompileCache {
  enableCompileCache?(folder: string): unknown;
  flushCompileCache?(): void;
}
const cache: CompileCache = module as unknown as CompileCache;

/** Only in the first seconds something new is there to be kept, and a worker may be killed at its end. */
const FLUSH_MS = 1000;

/**
 * Has Node keep what it compiles in a folder of the user's, where Node can (22.1 and newer). A folder that cannot be written is no error,
 * and NODE_DISABLE_COMPILE_CACHE=1 turns it off.
 */
export function keepCompiled(): void {
  const folder = process.env["XDG_CACHE_HOME"] || cacheOfHome();
  if (cache.enableCompileCache === undefined || folder === undefined) return;
  cache.enableCompileCache(join(folder, "mobula"));
  setTimeout(() => cache.flushCompileCache?.(), FLUSH_MS).unref();
}

function cacheOfHome(): string | undefined {
  try {
    return join(homedir(), ".cache");
  } catch {
    // Not every user has a home.
    return undefined;
  }
}

/** Whether files beside this one are compiled ones, which `loadAtOnce` can load. */
export const isCompiled = import.meta.url.endsWith(".js");

/**
 * Loads a compiled module and all that it imports, without a turn of the event loop for each file; it is the same module for who imports
 * it. Node 20 warns that it is new for `require` to do so, which says nothing to users, and is left out.
 */
export function loadAtOnce(url: URL): object {
  const emit = process.emitWarning;
  process.emitWarning = (...args: unknown[]): void => {
    if (!String(args[0]).includes("require()")) Reflect.apply(emit, process, args);
  };
  try {
    return createRequire(import.meta.url)(fileURLToPath(url)) as object;
  } finally {
    process.emitWarning = emit;
  }
}
