/**
 * The part that all stores share: calls of `write` are grouped into commits, one commit at a time, and the store has one
 * life: made, opened, then closed or lost. How a commit is made durable is the backend's.
 */
import { setImmediate as endOfTurn, setTimeout as sleep } from "node:timers/promises";
import { ControlStoreError, explain, InvalidOptionError } from "../../errors/index.ts";
import { COMMIT_BYTES, WRITE_BYTES_MAX, WRITE_CHANGES_MAX } from "./contract.ts";
import type { Backend, Change, ControlStore, Leader, Loaded, OpenOptions } from "./contract.ts";

/** How often a waiting `open` looks again. A part of the time that a takeover needs. */
const LOOK_AGAIN_MS = 100;

interface Pending {
  readonly changes: readonly Change[];
  readonly bytes: number;
  resolve(): void;
  reject(error: Error): void;
}

export class GroupedStore implements ControlStore {
  onLost: ((error: ControlStoreError) => void) | undefined;
  readonly #backend: Backend;
  #state: "made" | "opening" | "open" | "over" = "made";
  /** Why nothing can be written any more, once that is so. */
  #over: ControlStoreError | undefined;
  #queue: Pending[] = [];
  #committing: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  /** Ends the waiting of `open` when the store is closed meanwhile. */
  readonly #closing = new AbortController();
  #opening: Promise<Loaded> | undefined;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  get place(): string {
    return this.#backend.place;
  }

  async open(options: OpenOptions = {}): Promise<Loaded> {
    if (this.#state !== "made") throw this.#over ?? this.#error("closed", "was opened already", "Make another store object.");
    this.#state = "opening";
    this.#opening = this.#openWhenFree(options);
    try {
      const loaded = await this.#opening;
      this.#closing.signal.throwIfAborted();
      this.#state = "open";
      return loaded;
    } catch (error) {
      this.#end(this.#error("closed", "could not be opened", "Make another store object to try again."));
      await this.close();
      throw error;
    }
  }

  async #openWhenFree({ holder = `process ${process.pid}`, waitMs = 0, signal }: OpenOptions): Promise<Loaded> {
    const until = performance.now() + waitMs;
    const stop = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    for (;;) {
      stop.throwIfAborted();
      try {
        const loaded = await this.#backend.open(holder, (error) => this.#lose(error));
        stop.throwIfAborted();
        return loaded;
      } catch (error) {
        const mayPass = error instanceof ControlStoreError && (error.reason === "in-use" || error.reason === "unreachable");
        if (!mayPass || performance.now() >= until) throw error;
      }
      await sleep(LOOK_AGAIN_MS, undefined, { signal: stop }).catch(() => stop.throwIfAborted());
    }
  }

  write(changes: readonly Change[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#state !== "open") throw this.#over ?? this.#error("closed", "is not open", "Call `open` first.");
      const bytes = this.#measure(changes);
      this.#queue.push({ changes, bytes, resolve, reject });
      this.#committing ??= this.#commitAll();
    });
  }

  /** The bytes of a write; throws for one that cannot be stored. */
  #measure(changes: readonly Change[]): number {
    let bytes = 0;
    for (const { table, key, value } of changes) {
      if (!/^[\w-]{1,64}$/.test(table)) throw notStorable("table", table, "a word of at most 64 letters, digits, `_` and `-`");
      if (/\p{Surrogate}/u.test(key)) throw notStorable("key", key, "a well-formed string, without half a surrogate pair");
      bytes += table.length + Buffer.byteLength(key) + (value?.byteLength ?? 0);
    }
    if (bytes <= WRITE_BYTES_MAX && changes.length <= WRITE_CHANGES_MAX) return bytes;
    const most = `${WRITE_CHANGES_MAX} changes and ${WRITE_BYTES_MAX} bytes`;
    throw this.#error("too-large", `takes at most ${most} in one write, this one has ${changes.length} and ${bytes}`, "Write less.");
  }

  async #commitAll(): Promise<void> {
    // Whatever else is written in this turn joins the first commit.
    await endOfTurn();
    while (this.#queue.length > 0 && this.#over === undefined) {
      const group = this.#nextGroup();
      try {
        await this.#backend.commit(group.flatMap(({ changes }) => changes));
      } catch (error) {
        // Not resolved and not in the queue any more: these get the same answer as those that wait.
        this.#queue.unshift(...group);
        this.#lose(this.#storeError(error));
        break;
      }
      for (const { resolve } of group) resolve();
    }
    this.#committing = undefined;
  }

  #nextGroup(): Pending[] {
    let bytes = 0;
    let changes = 0;
    let count = 0;
    for (const pending of this.#queue) {
      bytes += pending.bytes;
      changes += pending.changes.length;
      if (count > 0 && (bytes > COMMIT_BYTES || changes > WRITE_CHANGES_MAX)) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  #storeError(error: unknown): ControlStoreError {
    if (error instanceof ControlStoreError) return error;
    const why = error instanceof Error ? error.message : String(error);
    return new ControlStoreError(explain(`The control store at ${this.place} failed`, why), {
      reason: "failed",
      place: this.place,
      cause: error,
    });
  }

  /** Nothing can be written from now on. */
  #end(error: ControlStoreError): void {
    this.#over ??= error;
    this.#state = "over";
    const waiting = this.#queue;
    this.#queue = [];
    for (const { reject } of waiting) reject(this.#over);
  }

  #lose(error: ControlStoreError): void {
    const first = this.#over === undefined;
    this.#end(error);
    if (first) this.onLost?.(error);
  }

  leads(): boolean {
    return this.#state === "open" && this.#backend.leads();
  }

  leader(): Promise<Leader | undefined> {
    return this.#backend.leader();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#state = "over";
    this.#closing.abort(this.#error("closed", "was closed", "Make another store object."));
    // Its failure is told to who called it.
    await this.#opening?.catch(() => undefined);
    await this.#committing;
    this.#end(this.#error("closed", "was closed", "Make another store object."));
    await this.#backend.close();
  }

  #error(reason: "closed" | "too-large", what: string, todo: string): ControlStoreError {
    return new ControlStoreError(explain(`The control store at ${this.place} ${what}`, undefined, todo), { reason, place: this.place });
  }
}

function notStorable(option: string, value: string, allowed: string): InvalidOptionError {
  const shown = JSON.stringify(value.slice(0, 100));
  return new InvalidOptionError(explain(`${shown} cannot be the ${option} of an entry`, `A ${option} is ${allowed}`), { option, value });
}
