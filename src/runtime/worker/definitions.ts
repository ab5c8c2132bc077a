/**
 * Functions and classes that were sent to this process: decoded once each, whoever sends them.
 */
import type { Callable } from "../../core/owner/task.ts";
import { SerializationError } from "../../errors/index.ts";
import type { FunctionId } from "../../protocol/ids.ts";
import { Later } from "../client/packing.ts";
import type { Packing } from "../client/packing.ts";

export interface LoadedFunction extends Callable {
  readonly fn: (...args: unknown[]) => unknown;
  /** Awaits inside must keep the call's context. */
  follow: boolean;
  readonly generator: boolean;
}

const AsyncFunction = (async () => {}).constructor;
const GeneratorFunction = function* () {}.constructor;
const AsyncGeneratorFunction = async function* () {}.constructor;

export function isGenerator(fn: unknown): boolean {
  return fn instanceof GeneratorFunction || fn instanceof AsyncGeneratorFunction;
}

export function loaded(name: string, fn: (...args: unknown[]) => unknown): LoadedFunction {
  return {
    name,
    fn,
    meanUs: undefined,
    follow: fn instanceof AsyncFunction || fn instanceof AsyncGeneratorFunction,
    generator: isGenerator(fn),
  };
}

export class Definitions {
  readonly #packing: Packing;
  readonly #known = new Map<FunctionId, LoadedFunction | Promise<LoadedFunction>>();

  constructor(packing: Packing) {
    this.#packing = packing;
  }

  /** The function, or a promise of it while modules that it needs are imported. Rejects with why it cannot be made. */
  load(id: FunctionId, name: string, definition: Uint8Array): LoadedFunction | Promise<LoadedFunction> {
    const known = this.#known.get(id);
    if (known) return known;
    const made = this.#decode(id, name, definition);
    this.#known.set(id, made);
    return made;
  }

  #decode(id: FunctionId, name: string, definition: Uint8Array): LoadedFunction | Promise<LoadedFunction> {
    try {
      const value = this.#packing.unpack(definition, false);
      if (!(value instanceof Later)) return this.#callable(name, value);
      const later = value.promise.then((fn) => {
        const made = this.#callable(name, fn);
        this.#known.set(id, made);
        return made;
      });
      // What was missing may be there at the next call.
      later.catch(() => this.#known.delete(id));
      return later;
    } catch (error) {
      const failed = Promise.reject(error instanceof Error ? error : new Error(String(error)));
      failed.catch(() => {});
      return failed;
    }
  }

  #callable(name: string, value: unknown): LoadedFunction {
    if (typeof value === "function") return loaded(name, value as (...args: unknown[]) => unknown);
    throw new SerializationError(
      `The definition of ${name} is not a function but ${typeof value}. Its module may export something else here.`,
    );
  }
}
