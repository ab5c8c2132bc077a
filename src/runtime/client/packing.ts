/**
 * Values to payloads and back: encodes, puts what is large into the store, makes the refs inside known to the node.
 */
import { MobulaError, SerializationError, TaskError, explain } from "../../errors/index.ts";
import type { ReadableObject, StoreClient } from "../../memory/contract.ts";
import type { InlinePayload } from "../../protocol/direct.ts";
import type { ObjectId, ProcessId } from "../../protocol/ids.ts";
import type { Payload } from "../../protocol/messages.ts";
import type { ValueCodec } from "../../values/codec.ts";
import type { Encoded } from "../../values/contract.ts";
import { EMPTY_ARRAY, NOT_TINY, readTiny, tinyImage } from "../../values/tiny.ts";
import { openPacked, packedSize, packInline, writePacked } from "../../values/packed.ts";
import { importModules } from "../../functions/index.ts";
import type { HeldId } from "./held-refs.ts";

/** Larger values lie in the store; smaller ones travel inside messages. Bytes. */
export const INLINE_MAX = 100 * 1024;

/** An error has no place in the store: it goes with the answer of its task. A larger one is told in words. Bytes. */
const ERROR_MAX = 32 * 2 ** 20;
/** As many as a message may list. */
const REFS_MAX = 1_000_000;

/** Makes the refs inside a value known to the node, and gives their ids. */
export type Escape = (refs: readonly object[]) => HeldId[];

/** The list of no arguments. */
export const NO_ARGUMENTS: InlinePayload = { kind: "inline", bytes: EMPTY_ARRAY, refs: undefined };

const tinyPayloads = new Array<InlinePayload | undefined>(256);

/** One payload for each tiny image of three bytes; the last tells them apart. */
function tinyPayload(image: Uint8Array): InlinePayload {
  if (image.length > EMPTY_ARRAY.length) return { kind: "inline", bytes: image, refs: undefined };
  const kind = image[2]!;
  return (tinyPayloads[kind] ??= { kind: "inline", bytes: image, refs: undefined });
}

export class Packing {
  readonly codec: ValueCodec;
  readonly #store: () => StoreClient;
  readonly #escape: Escape;
  readonly #process: ProcessId;

  constructor(codec: ValueCodec, store: () => StoreClient, escape: Escape, process: ProcessId) {
    this.#process = process;
    this.codec = codec;
    this.#store = store;
    this.#escape = escape;
  }

  encode(value: unknown, path: string): Encoded {
    return this.codec.encode(value, path);
  }

  /** Packs for a message, whatever the size. */
  inline(encoded: Encoded): Uint8Array {
    return packInline(encoded);
  }

  escape(encoded: Encoded): HeldId[] | undefined {
    const { length } = encoded.refs;
    if (length > REFS_MAX) {
      throw new SerializationError(
        explain(`A value holds ${length} refs and handles`, `At most ${REFS_MAX} can cross in one`, "Send them in several values"),
      );
    }
    return length > 0 ? this.#escape(encoded.refs) : undefined;
  }

  error(error: unknown): Payload & { kind: "error" } {
    let encoded = this.encode(error, "error");
    const size = packedSize(encoded);
    if (size > ERROR_MAX) encoded = this.encode(inWords(error as Error, size), "error");
    return { kind: "error", bytes: this.inline(encoded), refs: this.escape(encoded) };
  }

  /** A payload; a large value is stored under `id`, held by this process once. Blocks while the store is full. */
  pack(encoded: Encoded, id: () => ObjectId): Payload {
    const size = packedSize(encoded);
    const refs = this.escape(encoded);
    if (size <= INLINE_MAX) return { kind: "inline", bytes: packInline(encoded), refs };
    const name = id();
    const room = this.#store().create(name, size);
    try {
      writePacked(encoded, (offset, bytes) => room.write(offset, bytes));
      room.seal(this.#process, refs ?? []);
    } catch (error) {
      room.abort();
      throw error;
    }
    return { kind: "stored", id: name, size };
  }

  /** A payload of a value that needs neither encoder nor store, or undefined. Not to be written to. */
  tiny(value: unknown): InlinePayload | undefined {
    const image = tinyImage(value);
    return image && tinyPayload(image);
  }

  /** Decodes at once if nothing must be imported first, else later. */
  unpack(bytes: Uint8Array, share: boolean): unknown {
    const tiny = readTiny(bytes);
    if (tiny !== NOT_TINY) return tiny;
    const { inband, buffer: read, modules } = openPacked(bytes, { copy: !share });
    if (modules.length === 0) return this.codec.decode(inband, read);
    return new Later(importModules(modules).then((moduleOf) => this.codec.decode(inband, read, moduleOf)));
  }

  /** The value of a payload that is not stored: itself, or `Later` when modules are imported first. */
  open(payload: Payload & { kind: "inline" | "error" }): unknown {
    return this.unpack(payload.bytes, false);
  }

  async read(id: ObjectId): Promise<unknown> {
    const object: ReadableObject = await this.#store().read(id);
    const value = this.unpack(object.bytes, true);
    return value instanceof Later ? value.promise : value;
  }
}

/** What is left of an error that is too large. */
function inWords(error: Error, size: number): Error {
  const why = `With what it holds it has ${Math.round(size / 2 ** 20)} MiB, too many to be sent: its cause and fields were left out`;
  const message = explain(error.message.slice(0, 2000), why, "Put large data into the store, and its ref into the error");
  if (!(error instanceof TaskError)) return new MobulaError((error as MobulaError).code, message);
  const { functionName, taskId, actorId, errorName, attempt, pid } = error;
  return new TaskError(message, { functionName, taskId, actorId, errorName, attempt, pid });
}

/** A value that is there once modules have been imported. A class of its own, so that a decoded promise-like is not mistaken. */
export class Later {
  readonly promise: Promise<unknown>;

  constructor(promise: Promise<unknown>) {
    this.promise = promise;
  }
}

export function isSerializationError(error: unknown): boolean {
  return error instanceof SerializationError;
}
