/**
 * A small object store: what is sealed, where reads wait, what is freed and lost. Not StoreMachine, which has its own tests:
 * here it gives the RefTable a store whose frees and losses can be seen.
 */
import type { ObjectId, ProcessId } from "../src/protocol/ids.ts";
import type { Body, MessageName } from "../src/protocol/messages.ts";

/** The bytes that all processes see, and what was sealed there: it is known also of a process that could not say it any more. */
export class StoreMemory {
  readonly #bytes = new Map<string, Uint8Array>();
  readonly seals = new Map<ProcessId, Body<"storeSealed">[]>();

  seal(process: ProcessId, body: Body<"storeSealed">): void {
    const seals = this.seals.get(process);
    if (seals) seals.push(body);
    else this.seals.set(process, [body]);
  }

  write(key: string, bytes: Uint8Array): void {
    this.#bytes.set(key, bytes);
  }

  read(key: string): Uint8Array {
    const bytes = this.#bytes.get(key);
    if (!bytes) throw new Error(`${key} was never written`);
    return bytes;
  }
}

export const memoryKey = (process: ProcessId, seq: number): string => `${process}/${seq}`;

export interface StoreEvents {
  send<N extends MessageName>(to: ProcessId, name: N, body: Body<N>): void;
  sealed(body: Body<"storeSealed">): void;
  lost(id: ObjectId, reason: string): void;
}

interface Waiting {
  readonly from: ProcessId;
  readonly call: number;
  readonly until: number;
}

/** A read of something that nobody has sealed yet waits so long: the news may be under way. */
const PIN_WAIT_MS = 1000;

export class SimStore {
  readonly #events: StoreEvents;
  readonly #objects = new Map<ObjectId, string>();
  readonly #gone = new Map<ObjectId, string>();
  readonly #waiting = new Map<ObjectId, Waiting[]>();
  readonly #heard = new Set<string>();

  constructor(events: StoreEvents) {
    this.#events = events;
  }

  get ids(): ObjectId[] {
    return [...this.#objects.keys()];
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  sealed(from: ProcessId, body: Body<"storeSealed">): void {
    const key = memoryKey(from, body.seq);
    if (this.#heard.has(key)) return;
    this.#heard.add(key);
    this.#gone.delete(body.id);
    this.#objects.set(body.id, key);
    this.#events.sealed(body);
    for (const { from: reader, call } of this.#taken(body.id)) this.pin(reader, { call, id: body.id }, 0);
  }

  pin(from: ProcessId, { call, id }: Body<"storePin">, now: number): void {
    const key = this.#objects.get(id);
    if (key !== undefined) {
      return this.#events.send(from, "storePinned", { call, at: { kind: "memory", key, serial: 0, offset: 0, size: 0 } });
    }
    const gone = this.#gone.get(id);
    if (gone !== undefined) return this.#events.send(from, "storePinned", { call, at: { kind: "lost", reason: gone } });
    const waiting = this.#waiting.get(id);
    const entry = { from, call, until: now + PIN_WAIT_MS };
    if (waiting) waiting.push(entry);
    else this.#waiting.set(id, [entry]);
  }

  free(id: ObjectId): void {
    this.#end(id, "it was freed");
  }

  /** Its bytes are gone by a fault. */
  lose(id: ObjectId): void {
    if (!this.#objects.has(id)) return;
    this.#end(id, "its bytes are gone");
    this.#events.lost(id, "its bytes are gone");
  }

  tick(now: number): void {
    for (const [id, waiting] of this.#waiting) {
      for (const { from, call, until } of waiting) {
        if (until <= now) this.#events.send(from, "storePinned", { call, at: { kind: "lost", reason: "it was never stored" } });
      }
      const rest = waiting.filter(({ until }) => until > now);
      if (rest.length > 0) this.#waiting.set(id, rest);
      else this.#waiting.delete(id);
    }
  }

  #end(id: ObjectId, reason: string): void {
    this.#objects.delete(id);
    this.#gone.set(id, reason);
    for (const { from, call } of this.#taken(id)) this.#events.send(from, "storePinned", { call, at: { kind: "lost", reason } });
  }

  #taken(id: ObjectId): Waiting[] {
    const waiting = this.#waiting.get(id) ?? [];
    this.#waiting.delete(id);
    return waiting;
  }
}
