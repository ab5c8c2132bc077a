/**
 * Functions and classes of this process as others get them: captured and encoded once each, at the first call.
 */
import type { FunctionId } from "../../protocol/ids.ts";
import { withCaptures } from "../../functions/index.ts";
import type { Target } from "../engine.ts";
import { SerializationError } from "../../errors/index.ts";
import type { Packing } from "./packing.ts";
import type { Exported } from "./worker-way.ts";

/** A definition larger than this is refused: it is data, which belongs in `put`. Bytes. */
const DEFINITION_MAX = 100 * 1024 * 1024;

export interface ExportedFunction extends Exported {
  /** What it captured, kept for as long as it can be sent. */
  readonly holds: readonly object[];
}

export class Exports {
  readonly #packing: Packing;
  /** By name: `options({ name })` gives the same function another. */
  readonly #known = new WeakMap<Target, Map<string, ExportedFunction>>();
  /** Methods of actors: a name is all there is to send. */
  readonly #methods = new Map<string, Exported>();

  constructor(packing: Packing) {
    this.#packing = packing;
  }

  /** Throws SerializationError when it cannot be captured. */
  get(target: Target, name: string = target.name): ExportedFunction {
    let names = this.#known.get(target);
    const known = names?.get(name);
    if (known) return known;
    if (!names) this.#known.set(target, (names = new Map()));
    const [other] = names.values();
    const exported = other ? { ...other, name: name.slice(0, 256), meanUs: undefined } : this.#export(target, name);
    if (names.size < 1000) names.set(name, exported);
    return exported;
  }

  #export(target: Target, name: string): ExportedFunction {
    const fn = target.captures ? withCaptures(target.fn, target.captures) : target.fn;
    const encoded = this.#packing.encode(fn, target.name);
    const bytes = this.#packing.inline(encoded);
    if (bytes.byteLength > DEFINITION_MAX) {
      throw new SerializationError(
        `${target.name} is ${Math.round(bytes.byteLength / 2 ** 20)} MiB with what it captures, more than can be sent with a function. ` +
          "Put the large values into the store with put() and pass their refs as arguments.",
        { path: target.name },
      );
    }
    // Most workers export nothing, and its module takes milliseconds to load.
    const { createHash } = process.getBuiltinModule("node:crypto");
    const id = createHash("sha256").update(bytes).digest("base64url").slice(0, 32) as FunctionId;
    const refs = this.#packing.escape(encoded);
    return { id, name: name.slice(0, 256), bytes, refs, holds: encoded.refs, meanUs: undefined };
  }

  method(name: string): Exported {
    let method = this.#methods.get(name);
    if (!method) {
      method = { id: "" as FunctionId, name, bytes: NOTHING, refs: undefined, meanUs: undefined };
      if (this.#methods.size < 100_000) this.#methods.set(name, method);
    }
    return method;
  }
}

const NOTHING = new Uint8Array(0);
