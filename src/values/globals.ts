/**
 * Objects and functions that every process has under the same name: they cross by name. The table holds the language's own and
 * Node's globals, their static members and prototypes, and mobula's error classes; nothing that a program adds to globalThis.
 */
import * as errors from "../errors/index.ts";

const names = `Object Function Array Number Boolean String Symbol BigInt Date Promise RegExp Error AggregateError EvalError RangeError
ReferenceError SyntaxError TypeError URIError JSON Math Intl Atomics Reflect Proxy ArrayBuffer SharedArrayBuffer DataView Int8Array
Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array Float16Array Float32Array Float64Array BigInt64Array
BigUint64Array Map Set WeakMap WeakSet WeakRef FinalizationRegistry Iterator SuppressedError DisposableStack AsyncDisposableStack
Temporal WebAssembly parseFloat parseInt isNaN isFinite decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape eval
console process Buffer URL URLSearchParams TextEncoder TextDecoder AbortController AbortSignal Event EventTarget MessageChannel
MessagePort MessageEvent DOMException setTimeout clearTimeout setInterval clearInterval setImmediate clearImmediate queueMicrotask
structuredClone atob btoa`.split(/\s+/);

/** Node loads these at first use: they are looked at only when nothing else fits. */
const lazyNames = `performance fetch Headers Request Response FormData Blob File crypto Crypto CryptoKey SubtleCrypto
BroadcastChannel WebSocket CustomEvent ReadableStream WritableStream TransformStream CompressionStream DecompressionStream
TextDecoderStream TextEncoderStream PerformanceObserver PerformanceEntry navigator CloseEvent EventSource`.split(/\s+/);

class GlobalTable {
  readonly #names = new Map<object, string>();
  readonly #values = new Map<string, object>();
  #lazy = false;

  constructor() {
    this.#add("globalThis", globalThis);
    for (const name of names) this.#addMembers(name, Object.getOwnPropertyDescriptor(globalThis, name)?.value);
    // Reached by no name of their own.
    this.#addMembers("%TypedArray%", Object.getPrototypeOf(Uint8Array));
    this.#add("%IteratorPrototype%", Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())));
    // The getters are Node's own, and cheap.
    this.#add("process.env", process.env);
    this.#addMembers("Buffer", Reflect.get(globalThis, "Buffer"));
    this.#addMembers("process", Reflect.get(globalThis, "process"));
    for (const [name, value] of Object.entries(errors)) {
      if (typeof value === "function" && value.prototype instanceof Error) this.#add(`mobula.${name}`, value);
    }
  }

  nameOf(value: object): string | undefined {
    const name = this.#names.get(value);
    if (name !== undefined || this.#lazy || isPlainFunction(value)) return name;
    this.#loadLazy();
    return this.#names.get(value);
  }

  valueOf(name: string): object | undefined {
    const value = this.#values.get(name);
    if (value !== undefined || this.#lazy) return value;
    this.#loadLazy();
    return this.#values.get(name);
  }

  #loadLazy(): void {
    this.#lazy = true;
    for (const name of [...names, ...lazyNames]) this.#addMembers(name, Reflect.get(globalThis, name));
  }

  #add(name: string, value: unknown): boolean {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || this.#names.has(value)) return false;
    this.#names.set(value, name);
    this.#values.set(name, value);
    return true;
  }

  /** A global, its functions, its prototype and that one's methods. */
  #addMembers(name: string, value: unknown): void {
    if (!this.#add(name, value)) return;
    for (const [key, member] of dataMembers(value as object)) {
      const path = `${name}.${key}`;
      if (key === "prototype") {
        if (!this.#add(path, member)) continue;
        for (const [inner, method] of dataMembers(member as object)) this.#addFunction(`${path}.${inner}`, method);
      } else {
        this.#addFunction(path, member);
      }
    }
  }

  #addFunction(name: string, value: unknown): void {
    if (typeof value === "function") this.#add(name, value);
  }
}

/** An arrow function, a method or an async function with a source. What Node loads late are classes and objects, and takes 30 ms. */
function isPlainFunction(value: object): boolean {
  if (typeof value !== "function" || Object.hasOwn(value, "prototype")) return false;
  return !/\[native code\]/.test(Function.prototype.toString.call(value));
}

/** Own members with a name that hold a value: reading them runs no getter. */
function dataMembers(value: object): [string, unknown][] {
  return Object.entries(Object.getOwnPropertyDescriptors(value)).flatMap(([key, own]): [string, unknown][] =>
    "value" in own && own.value !== undefined && own.value !== null ? [[key, own.value]] : [],
  );
}

let table: GlobalTable | undefined;
const globals = (): GlobalTable => (table ??= new GlobalTable());

/** The name under which every process has `value`. A class of another copy of mobula counts as the one of this copy. */
export function globalName(value: object): string | undefined {
  const name = globals().nameOf(value);
  if (name !== undefined || typeof value !== "function") return name;
  const prototype: unknown = Reflect.get(value, "prototype");
  if (typeof prototype !== "object" || prototype === null || !Object.hasOwn(prototype, errors.errorBrand)) return undefined;
  const branded = `mobula.${String(Reflect.get(prototype, errors.errorBrand))}`;
  return globals().valueOf(branded) === undefined ? undefined : branded;
}

export function globalValue(name: string): object | undefined {
  return globals().valueOf(name);
}
