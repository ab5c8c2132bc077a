/** Starts the writer, ends it by force at a random moment, and checks what is found afterwards against what was acknowledged. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import path from "node:path";
import { createControlStore } from "../../src/runtime/stores/index.ts";
import type { ControlStoreSpec, Entry } from "../../src/runtime/stores/index.ts";

const KEYS = 97;

/** The writer, from its first number on. */
export class Writer {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  acknowledged: number;
  stderr = "";
  #ready: (() => void) | undefined;
  readonly ready: Promise<void>;

  constructor(spec: ControlStoreSpec, first: number) {
    this.acknowledged = first - 1;
    this.child = spawn(process.execPath, [path.join(import.meta.dirname, "writer.mjs"), JSON.stringify(spec), String(first)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.ready = new Promise((resolve) => (this.#ready = resolve));
    let rest = "";
    this.child.stdout!.setEncoding("latin1").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line === "ready") this.#ready?.();
        else this.acknowledged = Math.max(this.acknowledged, Number(line));
      }
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.ended = new Promise((resolve) => this.child.once("close", () => resolve()));
    void this.ended.then(() => this.#ready?.());
  }

  kill(): Promise<void> {
    this.child.kill("SIGKILL");
    return this.ended;
  }
}

/** Every acknowledged write is there, and each write is there as a whole and in its place. Gives the last number. */
export function checkEntries(entries: readonly Entry[], acknowledged: number): number {
  const found = new Map(entries.map(({ key, value }) => [key, Number.parseInt(Buffer.from(value).toString("latin1"), 10)]));
  const last = found.get("last") ?? 0;
  assert.ok(last >= acknowledged, `${acknowledged} was acknowledged, ${last} is the last that is there`);
  for (let k = 0; k < KEYS; k++) {
    const expected = last - ((((last - k) % KEYS) + KEYS) % KEYS);
    assert.equal(found.get(`k${k}`), expected > 0 ? expected : undefined, `k${k} after write ${last}`);
  }
  return last;
}

/** Kills the writer `times` times within `spanMs` of its start; returns how many writes survived. */
export async function killWriters(spec: ControlStoreSpec, times: number, spanMs: number): Promise<number> {
  let last = 0;
  for (let i = 0; i < times; i++) {
    const writer = new Writer(spec, last + 1);
    try {
      await writer.ready;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * spanMs));
    } finally {
      await writer.kill();
    }
    assert.equal(writer.stderr, "");
    const store = createControlStore(spec);
    try {
      const { entries } = await store.open({ waitMs: 10_000 });
      last = checkEntries(entries, writer.acknowledged);
    } finally {
      await store.close();
    }
  }
  return last;
}
