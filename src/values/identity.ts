/**
 * Which functions and classes this process knows by an id, so that an instance which comes back is an instance of the very class
 * it left, and a class that comes twice is one class. Holds none of them alive. Does not know how they are written.
 *
 * A class is fixed in a process when it first crosses: later arrivals under the same id are that class, whatever their captured
 * variables were then. A function is the same again only if it has no state, that is no captures and no properties of its own.
 */
import type { FunctionRecord } from "./contract.ts";

interface Entry {
  readonly id: string;
  /** Also for a class that came from elsewhere: it is sent on as it came, without capturing it again. */
  record: FunctionRecord | undefined;
}

/** Whether `fn` is meant to be constructed: a class, or a function whose prototype was filled by hand. */
export function isClass(fn: Function): boolean {
  const own = Object.getOwnPropertyDescriptor(fn, "prototype");
  if (own === undefined || own.value === null || typeof own.value !== "object") return false;
  // The prototype of a class, and of nothing else, cannot be replaced.
  if (own.writable === false) return true;
  // Generator functions have a prototype without a constructor.
  const keys = Reflect.ownKeys(own.value as object);
  return keys.includes("constructor") && (keys.length > 1 || Object.getPrototypeOf(own.value) !== Object.prototype);
}

/** What stands for the class of an instance: the class, or the prototype itself if it belongs to none. */
export function classOrPrototype(prototype: object): object {
  const own: unknown = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value;
  return typeof own === "function" && own.prototype === prototype ? own : prototype;
}

export class IdentityRegistry {
  #prefix: string | undefined;
  #count = 0;
  readonly #entries = new WeakMap<Function, Entry>();
  readonly #byId = new Map<string, WeakRef<Function>>();
  readonly #references = new WeakMap<Function, FunctionRecord>();
  readonly #collected = new FinalizationRegistry<string>((id) => {
    // The id may have been given to a later arrival of the same class meanwhile.
    if (this.#byId.get(id)?.deref() === undefined) this.#byId.delete(id);
  });

  /** The id of a function of this process, given now if it has none. */
  idOf(fn: Function): string {
    const known = this.#entries.get(fn);
    if (known !== undefined) return known.id;
    this.#count += 1;
    // Most workers name nothing, and the module takes milliseconds to load.
    this.#prefix ??= process.getBuiltinModule("node:crypto").randomBytes(6).toString("hex");
    const id = `${this.#prefix}.${this.#count.toString(36)}`;
    this.remember(fn, id, undefined);
    return id;
  }

  /** Whether it has an id, of this process or from elsewhere. */
  has(fn: Function): boolean {
    return this.#entries.has(fn);
  }

  remember(fn: Function, id: string, record: FunctionRecord | undefined): void {
    this.#entries.set(fn, { id, record });
    this.#byId.set(id, new WeakRef(fn));
    this.#collected.register(fn, id);
  }

  find(id: string): Function | undefined {
    return this.#byId.get(id)?.deref();
  }

  /** What is known to stand for it: for classes, and for whatever crosses by reference. */
  recordOf(fn: Function): FunctionRecord | undefined {
    return this.#entries.get(fn)?.record ?? this.#references.get(fn);
  }

  /** Keeps the record of a class for every later crossing. */
  keepRecord(fn: Function, record: FunctionRecord): void {
    const entry = this.#entries.get(fn);
    if (entry !== undefined) entry.record = record;
  }

  /** A module's function is what it is: by its name here, the name gives it back, even if that module cannot be asked. */
  keepReference(fn: Function, record: FunctionRecord & { kind: "reference" }): void {
    this.#references.set(fn, record);
    const id = referenceId(record.url, record.path);
    this.#byId.set(id, new WeakRef(fn));
    this.#collected.register(fn, id);
  }

  findReference(url: string, path: readonly string[]): Function | undefined {
    return this.find(referenceId(url, path));
  }
}

const referenceId = (url: string, path: readonly string[]): string => `${url}#${path.join("\u0000")}`;
