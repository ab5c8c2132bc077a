/** Values of simulated programs: JSON with refs and actors inside, as bytes. Not the codec of production. */
import { ObjectRef } from "../src/core/owner/object-ref.ts";
import type { ActorId } from "../src/protocol/ids.ts";

/** An actor as a process knows it: what a handle stands for. */
export class ActorCore {
  readonly actorId: ActorId;
  className: string;
  ordered: boolean;
  maxTaskRetries: number;
  /** Whether control was asked for news of it. */
  watched = false;

  constructor(actorId: ActorId, className: string, ordered: boolean, maxTaskRetries: number) {
    this.actorId = actorId;
    this.className = className;
    this.ordered = ordered;
    this.maxTaskRetries = maxTaskRetries;
  }

  /** What travels with a handle. */
  learn(data: { className: string; ordered: boolean; maxTaskRetries: number }): void {
    this.className = data.className;
    this.ordered = data.ordered;
    this.maxTaskRetries = data.maxTaskRetries;
  }
}

export type Shared = ObjectRef | ActorCore;
export const isShared = (value: unknown): value is Shared => value instanceof ObjectRef || value instanceof ActorCore;

/** An error as programs see it. `outcome`, of a call: whether it may have begun. */
export class SimError extends Error {
  readonly code: string;
  readonly outcome: string | undefined;

  constructor(code: string, message: string, outcome?: string) {
    super(message);
    this.code = code;
    this.outcome = outcome;
  }
}

/** Code of what a method throws that ends its actor. */
export const EXIT = "EXIT";

export interface Encoded {
  readonly bytes: Uint8Array;
  readonly refs: readonly Shared[];
}

export function encode(value: unknown): Encoded {
  const refs: Shared[] = [];
  const text = JSON.stringify(replaced(value, refs));
  return { bytes: Buffer.from(text), refs };
}

/** `revive` gives the object of this process for an id. */
export function decode(bytes: Uint8Array, revive: (text: string) => Shared): unknown {
  return revived(JSON.parse(Buffer.from(bytes).toString()), revive);
}

export function describe(shared: Shared): string {
  if (shared instanceof ObjectRef) return shared.id;
  const { actorId, className, ordered, maxTaskRetries } = shared;
  return JSON.stringify({ actorId, className, ordered, maxTaskRetries });
}

function replaced(value: unknown, refs: Shared[]): unknown {
  if (value === undefined) return { $: "undefined" };
  if (isShared(value)) {
    refs.push(value);
    return { $: "shared", text: describe(value) };
  }
  if (value instanceof SimError) return { $: "error", code: value.code, message: value.message, outcome: value.outcome };
  if (Array.isArray(value)) return value.map((each) => replaced(each, refs));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, replaced(each, refs)]));
}

function revived(value: unknown, revive: (text: string) => Shared): unknown {
  if (Array.isArray(value)) return value.map((each) => revived(each, revive));
  if (typeof value !== "object" || value === null) return value;
  const record = value as Record<string, unknown>;
  if (record.$ === "undefined") return undefined;
  if (record.$ === "shared") return revive(record.text as string);
  if (record.$ === "error") return new SimError(record.code as string, record.message as string, record.outcome as string | undefined);
  return Object.fromEntries(Object.entries(record).map(([key, each]) => [key, revived(each, revive)]));
}

/** The refs and actors inside a value. */
export function sharedIn(value: unknown, found: Shared[] = []): Shared[] {
  if (isShared(value)) found.push(value);
  else if (typeof value === "object" && value !== null && !(value instanceof Error)) {
    for (const each of Object.values(value)) sharedIn(each, found);
  }
  return found;
}
