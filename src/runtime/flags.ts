/**
 * Flags of Node that a driver hands on to the processes of its cluster. Modules to load first (`--import tsx`) are told apart: a daemon
 * runs no user code and leaves them out, a worker loads them after the engine, which is loaded in half the time without their hooks.
 */

/** A module that is to be loaded before any user code, as its flag names it. */
export interface Preload {
  readonly kind: "require" | "import";
  readonly specifier: string;
}

const PRELOAD = /^(?:(--require|-r)|(--import))(?:=(.*))?$/s;
const LOADER = /^--(?:experimental-)?loader(=|$)/;
const CODE_FLAGS = new Set(["--eval", "-e", "--print", "-p", "-pe"]);
const OWN_FLAGS = /^--?(inspect|debug|eval|e$|print|p$|pe$|test|watch|interactive|i$|check|c$|cpu-prof|heap-prof|prof|input-type)/;

/** Flags for a worker; those of debuggers and of the entry itself are the driver's own. */
export function workerFlags(execArgv: readonly string[]): string[] {
  const kept: string[] = [];
  let keeping = true;
  for (const [i, flag] of execArgv.entries()) {
    // A word that is no flag is the value of the one before it; code may begin as it likes.
    if (flag.startsWith("-") && !CODE_FLAGS.has(execArgv[i - 1] ?? "")) keeping = !OWN_FLAGS.test(flag);
    if (keeping) kept.push(flag);
  }
  return kept;
}

/** The flags without those that load modules, and the modules in the order in which Node loads them. */
export function splitPreloads(flags: readonly string[]): { flags: string[]; preloads: Preload[] } {
  const others: string[] = [];
  const preloads: Preload[] = [];
  for (let i = 0; i < flags.length; i++) {
    const [matched, required, , value] = PRELOAD.exec(flags[i]!) ?? [];
    if (matched === undefined) others.push(flags[i]!);
    else preloads.push({ kind: required === undefined ? "import" : "require", specifier: value ?? flags[++i] ?? "" });
  }
  const ofKind = (kind: Preload["kind"]): Preload[] => preloads.filter((preload) => preload.kind === kind);
  return { flags: others, preloads: [...ofKind("require"), ...ofKind("import")] };
}

/** Flags for a daemon that runs from compiled files. */
export function daemonFlags(execArgv: readonly string[]): string[] {
  const { flags } = splitPreloads(workerFlags(execArgv));
  return flags.filter((flag, i) => !LOADER.test(flag) && !(LOADER.test(flags[i - 1] ?? "") && !flag.startsWith("-")));
}
