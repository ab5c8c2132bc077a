/**
 * The current engine of this process: made by `init`, or by the first call that needs one. Not the engine itself, which is
 * handed in by `setEngineFactory` (a program) or `adoptEngine` (a worker, which is born connected).
 */
import { ConnectionError, InvalidOptionError, explain } from "../errors/index.ts";
import type { ApiHooks, Engine, EngineFactory, EngineOptions } from "../runtime/engine.ts";

interface Session {
  factory: EngineFactory | undefined;
  hooks: ApiHooks | undefined;
  engine: Engine | undefined;
  /** Set while a `shutdown` is under way. */
  closing: Promise<void> | undefined;
}

const state: Session = { factory: undefined, hooks: undefined, engine: undefined, closing: undefined };

/** Says how engines are made. Called once, when the package is loaded; tests hand in a fake. */
export function setEngineFactory(factory: EngineFactory | undefined): void {
  state.factory = factory;
}

/** What engines are told about the api layer. Called once by the module of handles. */
export function setApiHooks(hooks: ApiHooks): void {
  state.hooks = hooks;
}

/** The hooks, for whoever makes an engine of its own (a worker). */
export function apiHooks(): ApiHooks {
  if (state.hooks === undefined) throw new ConnectionError("The api layer of mobula is not loaded, so no engine can be started.");
  return state.hooks;
}

/** Makes `engine` the current one: in a worker, or in a test. undefined takes the current one away without closing it. */
export function adoptEngine(engine: Engine | undefined): void {
  state.engine = engine;
}

const defaults: EngineOptions = {
  address: undefined,
  numCpus: undefined,
  numGpus: undefined,
  resources: {},
  objectStoreMemory: undefined,
  namespace: undefined,
  envVars: undefined,
  environment: undefined,
  token: undefined,
  job: { weight: undefined, priority: undefined, maxCpus: undefined },
  logToDriver: true,
  dashboard: false,
};

/** Starts an engine with these options. The caller has made sure that there is none. */
export function startEngine(options: EngineOptions = defaults): Engine {
  if (state.factory === undefined) {
    throw new ConnectionError(
      explain("No engine can be started here", "nothing has said how", "Import mobula, not one of its inner files"),
    );
  }
  const engine = state.factory(options, apiHooks());
  state.engine = engine;
  return engine;
}

/** The current engine; starts one with defaults when there is none. */
export function engine(): Engine {
  const current = state.engine;
  return current !== undefined && current.isOpen ? current : startEngine();
}

/** The current engine, or undefined. Starts nothing. */
export function openEngine(): Engine | undefined {
  return state.engine?.isOpen === true ? state.engine : undefined;
}

/** The current engine for calls that only make sense with refs or handles of it: with none, these are old. */
export function engineOf(what: string): Engine {
  const current = openEngine();
  if (current !== undefined) return current;
  throw new ConnectionError(
    explain(
      `${what} failed: this program is not connected to a cluster`,
      "It was shut down, or the connection broke, since the ref or handle was made",
      "Call init() again, or any remote function, and make refs and handles anew",
    ),
  );
}

/** Closes the current engine, if there is one. Idempotent; a second call waits for the first. */
export async function closeEngine(): Promise<void> {
  const current = state.engine;
  if (current === undefined) return state.closing;
  state.engine = undefined;
  const ending = current.close().finally(() => {
    if (state.closing === ending) state.closing = undefined;
  });
  state.closing = ending;
  return ending;
}

/** The end of a shutdown that is under way; undefined when there is none. */
export function closing(): Promise<void> | undefined {
  return state.closing?.catch(() => undefined);
}

/** The refusal of a second `init`. */
export function alreadyInitialised(): InvalidOptionError {
  return new InvalidOptionError(
    explain(
      "init() failed: this program is connected already",
      "init() was called before, or a remote call did it",
      "Call init() first and once, call shutdown() before, or pass ignoreReinitError: true",
    ),
    { option: "ignoreReinitError", value: false },
  );
}
