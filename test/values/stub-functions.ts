/* oxlint-disable typescript/no-implied-eval -- it is what this file is about */
/**
 * A FunctionCodec for the tests of the value codec: functions are made from source text whose captured variables are read from an
 * object `slots`. One stub stands for one process. Not the real thing, which is in src/functions.
 */
import type { FunctionCodec, FunctionRecord, RebuiltFunction, RefCodec } from "../../src/values/contract.ts";
import { SerializationError } from "../../src/errors/index.ts";
import { ValueCodec } from "../../src/values/codec.ts";

interface Made {
  readonly source: string;
  readonly slots: Record<string, unknown>;
}

export class StubFunctions implements FunctionCodec {
  readonly made = new WeakMap<Function, Made>();
  readonly references = new Map<Function, { url: string; path: string[] }>();
  readonly modules = new Map<object, string>();
  captures = 0;
  rebuilds = 0;

  /** `source` is an expression; it may read `slots.name`. A slot `Base` becomes the base class once it is known. */
  define<T extends Function = Function>(source: string, slots: Record<string, unknown> = {}): T {
    const fn = (new Function("slots", `return (${source})`) as (slots: object) => T)(slots);
    this.made.set(fn, { source, slots });
    inherit(fn, slots);
    return fn;
  }

  capture(fn: Function, path: string): FunctionRecord {
    this.captures += 1;
    const reference = this.references.get(fn);
    if (reference !== undefined) return { kind: "reference", ...reference };
    const made = this.made.get(fn);
    if (made === undefined) throw new SerializationError(`${path} cannot be captured`, { path });
    const names = Object.keys(made.slots);
    return {
      kind: "value",
      code: JSON.stringify([made.source, names]),
      captures: names.map((name) => made.slots[name]),
      captureNames: names,
      properties: Reflect.ownKeys(fn)
        .filter((key) => Object.prototype.propertyIsEnumerable.call(fn, key))
        .map((key) => [key, Reflect.get(fn, key)] as const),
      modules: [],
    };
  }

  rebuild(record: { kind: "value"; code: string }): RebuiltFunction {
    this.rebuilds += 1;
    const [source, names] = JSON.parse(record.code) as [string, string[]];
    const slots: Record<string, unknown> = {};
    for (const name of names) slots[name] = undefined;
    const fn = this.define(source, slots);
    let laid: ReadonlyArray<readonly [PropertyKey, unknown]> = [];
    return {
      fn,
      fill(captures, properties) {
        names.forEach((name, i) => (slots[name] = captures[i]));
        inherit(fn, slots);
        laid = properties;
      },
      start() {
        for (const [key, value] of laid) Object.defineProperty(fn, key, { value, enumerable: true, configurable: true, writable: true });
      },
    };
  }

  hasPrivateFields(cls: Function): boolean {
    return /#\w/.test(Function.prototype.toString.call(cls));
  }

  describeModule(object: object): string | undefined {
    return this.modules.get(object);
  }
}

function inherit(fn: Function, slots: Record<string, unknown>): void {
  const base = slots["Base"];
  if (typeof base !== "function") return;
  Object.setPrototypeOf(fn, base);
  Object.setPrototypeOf(fn.prototype, base.prototype as object);
}

export class Ref {
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }
}

export const refCodec: RefCodec = {
  describe: (value) => (value instanceof Ref ? value.id : undefined),
  revive: (text) => new Ref(text),
};

/** A process: a codec with a memory of its own for classes. */
export interface Process {
  readonly functions: StubFunctions;
  readonly codec: ValueCodec;
  moduleOf: (url: string) => object;
}

export function process(): Process {
  const functions = new StubFunctions();
  return {
    functions,
    codec: new ValueCodec(refCodec, functions),
    moduleOf(url) {
      throw new Error(`no module ${url}`);
    },
  };
}

/** What arrives in `to` of a value of `from`. The buffers are copied, as on any way between processes. */
export function send<T>(value: T, from: Process, to: Process = from): T {
  const encoded = from.codec.encode(value, "value");
  const copies = encoded.buffers.map((buffer) => new Uint8Array(buffer));
  return to.codec.decode(
    new Uint8Array(encoded.inband),
    (i) => copies[i]!,
    (url) => to.moduleOf(url),
  ) as T;
}
