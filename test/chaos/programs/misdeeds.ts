/** What tasks and actors can do wrong, imported by workers. */
import { setTimeout as pause } from "node:timers/promises";

export const throws: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  string: () => "just text",
  number: () => 42,
  frozen: () => Object.freeze({ code: 7 }),
  "frozen error": () => Object.freeze(new TypeError("cold")),
  proxy: () => new Proxy({}, {}),
  symbol: () => Symbol("odd"),
  function: () => () => 1,
  "error with a getter that throws": () =>
    Object.defineProperty(new Error("getter"), "field", {
      enumerable: true,
      get: () => {
        throw new Error("inner");
      },
    }),
  "endless cause": () => {
    const error = new Error("loop");
    error.cause = error;
    return error;
  },
};

export function throwing(what: string): never {
  throw throws[what]!() as Error;
}

export async function rejecting(what: string): Promise<never> {
  await pause(1);
  throw throws[what]!() as Error;
}

export function overflow(): number {
  return 1 + overflow();
}

export function exits(code: number): never {
  process.exit(code);
}

export function suicide(signal: NodeJS.Signals): Promise<void> {
  console.error("last words");
  process.kill(process.pid, signal);
  return pause(60_000);
}

export function block(ms: number): number {
  const until = performance.now() + ms;
  while (performance.now() < until);
  return ms;
}

export const never = (): Promise<void> => new Promise(() => {});

export async function lateRejection(): Promise<void> {
  void Promise.reject(new Error("nobody listens"));
  await pause(60_000);
}

export class Bad {
  constructor(how: string) {
    if (how === "throw") throw new RangeError("no such thing");
    if (how === "exit") process.exit(9);
    if (how === "hang") for (;;);
  }
  hello(): string {
    return "hello";
  }
}
