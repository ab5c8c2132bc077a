/**
 * What runs in the processes of the functions suite, bundled once into a package of the temporary folder: the driver's side, which
 * captures and encodes, and the worker's side, which decodes, runs, sends on and runs again.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { functionCodec, importModules } from "../../src/functions/index.ts";
import { IdentityRegistry, ValueCodec } from "../../src/values/codec.ts";

export interface Crossing {
  readonly name: string;
  readonly inband?: string;
  readonly buffers?: readonly string[];
  readonly modules?: readonly string[];
  readonly error?: { readonly type: string; readonly message: string; readonly path: unknown };
  /** By reference or by value. */
  readonly kind?: string;
}

export interface Outcome {
  readonly name: string;
  readonly result?: unknown;
  /** After a second crossing, from the worker on. */
  readonly again?: unknown;
  readonly error?: string;
}

const noRefs = {
  describe: (): undefined => undefined,
  revive: (): never => {
    throw new Error("no refs here");
  },
};
// A registry for each crossing: nothing may be found by identity instead of being made again.
const newCodec = (): ValueCodec => new ValueCodec(noRefs, functionCodec, new IdentityRegistry());
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

function cross(name: string, value: unknown): Crossing {
  try {
    const kind = typeof value === "function" ? functionCodec.capture(value, "f").kind : "none";
    const { inband, buffers, modules } = newCodec().encode(value, "f");
    return { name, inband: base64(inband), buffers: buffers.map(base64), modules: [...modules], kind };
  } catch (error) {
    const { message, path, constructor } = error as Error & { path?: unknown };
    return { name, error: { type: constructor.name, message, path } };
  }
}

async function arrive(crossing: Crossing): Promise<unknown> {
  const { inband = "", buffers = [], modules = [] } = crossing;
  const moduleOf = await importModules(modules);
  const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));
  return newCodec().decode(bytes(inband), (index) => bytes(buffers[index] ?? ""), moduleOf);
}

const table: [string, () => unknown][] = [];
const early = new Map<string, Crossing>();

/** Called by the program for each case. */
export function define(name: string, make: () => unknown): void {
  table.push([name, make]);
}

/** Captures the last case now, before the program goes on. */
export function checkNow(): void {
  const [name, make] = table.at(-1) ?? ["", () => undefined];
  early.set(name, cross(name, make()));
}

/** The end of the program: everything that was defined, written to a file. */
export function emit(file: string): void {
  writeFileSync(file, JSON.stringify(table.map(([name, make]) => early.get(name) ?? cross(name, make()))));
}

async function use(value: unknown): Promise<unknown> {
  if (typeof value !== "function") return value;
  if (value.toString().startsWith("class")) {
    const instance = Reflect.construct(value, []) as { run(): unknown };
    return instance.run();
  }
  const result: unknown = await (Reflect.apply(value, undefined, []) as unknown);
  if (typeof result === "function") {
    // Made here: crosses from here.
    const next = cross("made in the worker", result);
    if (next.error !== undefined) throw new Error(next.error.message);
    return use(await arrive(next));
  }
  const iterable =
    typeof result === "object" && result !== null && "next" in result && (Symbol.iterator in result || Symbol.asyncIterator in result);
  if (!iterable) return result;
  const items: unknown[] = [];
  for await (const item of result as AsyncIterable<unknown>) items.push(item);
  return items;
}

/** The worker: everything in the file is made again and run, then sent on as it is after that, and run again. */
export async function work(input: string, output: string): Promise<void> {
  const outcomes: Outcome[] = [];
  for (const crossing of JSON.parse(readFileSync(input, "utf8")) as Crossing[]) {
    const { name } = crossing;
    if (crossing.error !== undefined) continue;
    try {
      const second = cross(name, await arrive(crossing));
      const again = second.error === undefined ? await use(await arrive(second)) : second.error.message;
      outcomes.push({ name, result: await use(await arrive(crossing)), again });
    } catch (error) {
      outcomes.push({ name, error: error instanceof Error ? String(error.stack) : String(error) });
    }
  }
  writeFileSync(output, JSON.stringify(outcomes));
}
