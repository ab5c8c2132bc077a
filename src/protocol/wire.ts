/**
 * Bytes of a message: [u32 length of what follows][u8 code][body]. The bodies of `definitions` are msgpack arrays of
 * their fields in order of definition; the few hot messages between owner and worker have layouts of their own
 * (direct.ts). A message is checked field by field before a handler sees it.
 *
 * Messages of one kind that follow each other may share their frame, a run: [u32 length][u8 RUN][u8 code][msgpack array of their
 * bodies, whose length has 16 bits]. It means what they mean one by one.
 */
// Not the main entry: that one loads a native reader of strings, 12 ms and 5 MB in every process, for messages that are short.
import { Packr } from "msgpackr/pack";
import { definitions } from "./messages.ts";
import { KIB, LAST_CODE } from "./parts.ts";
import type { Body, Definition, MessageName } from "./messages.ts";
import { checkPlain } from "./plain.ts";
import { MalformedMessage } from "./schema.ts";

/** Codes from here on are hot messages with a layout of their own; those of `definitions` lie below. */
export const FIRST_DIRECT_CODE = LAST_CODE + 1;
export const HEADER_BYTES = 5;
export const RUN = 227;
/** Of a run, before its first body. */
export const RUN_HEADER_BYTES = 4;
/** No run may be longer. */
export const RUN_BYTES_MAX = 32 * KIB;
/** First byte of a msgpack array whose length has 16 bits. */
export const ARRAY_16 = 0xdc;
/** No message may be longer, whatever its definition allows. */
export const MESSAGE_BYTES_MAX = 1 << 30;

const packr = new Packr({ useRecords: false, moreTypes: false, int64AsType: "number" });

interface Entry {
  readonly name: MessageName;
  readonly definition: Definition;
  readonly fields: readonly string[];
}

const byCode = new Map<number, Entry>();
const byName = new Map<string, Entry>();
for (const [name, definition] of Object.entries(definitions) as [MessageName, Definition][]) {
  const entry = { name, definition, fields: Object.keys(definition.shape) };
  if (definition.code > LAST_CODE) throw new Error(`the message code ${definition.code} of ${name} is one of a hot message`);
  if (byCode.has(definition.code)) throw new Error(`message code ${definition.code} is used twice`);
  byCode.set(definition.code, entry);
  byName.set(name, entry);
}

export function codeOf(name: MessageName): number {
  return definitions[name].code;
}

export function encodeBody<N extends MessageName>(name: N, body: Body<N>): Uint8Array {
  const { fields } = byName.get(name)!;
  const values = new Array<unknown>(fields.length);
  for (let i = 0; i < fields.length; i++) values[i] = (body as Record<string, unknown>)[fields[i]!];
  return packr.pack(values);
}

/** Largest body that a code may carry; undefined for a code that is not defined. */
export function limitOf(code: number): number | undefined {
  return byCode.get(code)?.definition.limit;
}

export function decodeBody(code: number, bytes: Uint8Array): { name: MessageName; body: never } {
  const entry = entryOf(code);
  const { definition, name } = entry;
  if (bytes.byteLength > definition.limit) throw new MalformedMessage(name, `at most ${definition.limit} bytes`, bytes.byteLength);
  return { name, body: bodyOf(entry, unpack(bytes, name)) };
}

/** The messages of a run, in their order. */
export function decodeRun(bytes: Uint8Array): { name: MessageName; bodies: never[] } {
  if (bytes.byteLength > RUN_BYTES_MAX) throw new MalformedMessage("run", `at most ${RUN_BYTES_MAX} bytes`, bytes.byteLength);
  const entry = entryOf(bytes[0] ?? 0);
  const all = unpack(bytes.subarray(1), entry.name);
  if (!Array.isArray(all)) throw new MalformedMessage(entry.name, "a run of messages", all);
  return { name: entry.name, bodies: all.map((values) => bodyOf(entry, values)) };
}

function entryOf(code: number): Entry {
  const entry = byCode.get(code);
  if (!entry) throw new MalformedMessage("code", "a known message", code);
  return entry;
}

function unpack(bytes: Uint8Array, name: MessageName): unknown {
  checkPlain(bytes, name);
  try {
    return packr.unpack(bytes);
  } catch {
    throw new MalformedMessage(name, "well-formed msgpack", undefined);
  }
}

function bodyOf({ fields, definition, name }: Entry, values: unknown): never {
  if (!Array.isArray(values) || values.length !== fields.length) throw new MalformedMessage(name, `${fields.length} fields`, values);
  const body: Record<string, unknown> = {};
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    body[field] = definition.shape[field]!.check(values[i], `${name}.${field}`);
  }
  return body as never;
}
