/**
 * Bytes of a record that control keeps: one byte with the version of the format, then msgpack of the record's fields by name, so that
 * a field can be added. What is read is checked by the record's schema, as a message is: a store may lie on another machine.
 */
// Not the main entry: see wire.ts.
import { Packr } from "msgpackr/pack";
import { checkPlain } from "./plain.ts";
import { MalformedMessage } from "./schema.ts";
import type { Schema } from "./schema.ts";

export const RECORD_VERSION = 1;

const packr = new Packr({ useRecords: false, moreTypes: false, int64AsType: "number" });

export function encodeRecord(value: object): Uint8Array {
  const body = packr.pack(value);
  const bytes = new Uint8Array(body.byteLength + 1);
  bytes[0] = RECORD_VERSION;
  bytes.set(body, 1);
  return bytes;
}

/** Throws MalformedMessage for what is no record of this schema, or of a version that this one does not know. */
export function decodeRecord<T>(schema: Schema<T>, bytes: Uint8Array, name: string): T {
  if (bytes[0] !== RECORD_VERSION) throw new MalformedMessage(name, `version ${RECORD_VERSION} of the format`, bytes[0]);
  const body = bytes.subarray(1);
  checkPlain(body, name);
  let value: unknown;
  try {
    value = packr.unpack(body);
  } catch {
    throw new MalformedMessage(name, "well-formed msgpack", undefined);
  }
  return schema.check(value, name);
}
