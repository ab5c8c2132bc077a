/**
 * A look over the bytes of a message before its decoder sees them: plain msgpack and nothing else. The decoder also knows
 * extensions, some of which make functions and objects of classes, and no message has any; and it would go as deep as it is told.
 */
import { MalformedMessage } from "./schema.ts";

const DEPTH_MAX = 64;

/** Bytes of the length that follows, and of the value beside that length, for 0xc0 to 0xdf; -1 for what no message contains. */
const LENGTH_BYTES = [0, -1, 0, 0, 1, 2, 4, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, 1, 2, 4, 2, 4, 2, 4];
const FIXED_BYTES = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8];

function lengthAt(bytes: Uint8Array, at: number, size: number): number {
  let length = 0;
  for (let i = 0; i < size; i++) length = length * 256 + bytes[at + i]!;
  return length;
}

/** Throws MalformedMessage unless these are whole values of plain msgpack, no deeper than messages are. */
export function checkPlain(bytes: Uint8Array, name: string): void {
  const fail = (wanted: string): never => {
    throw new MalformedMessage(name, wanted, undefined);
  };
  // How many values are still to come at each depth.
  const open: number[] = [1];
  const end = bytes.byteLength;
  let at = 0;
  while (open.length > 0) {
    if (open.at(-1) === 0) {
      open.pop();
      continue;
    }
    open[open.length - 1]!--;
    if (at >= end) fail("whole msgpack");
    const byte = bytes[at++]!;
    let items = 0;
    if (byte < 0x80 || byte >= 0xe0) continue;
    if (byte < 0x90) items = 2 * (byte & 15);
    else if (byte < 0xa0) items = byte & 15;
    else if (byte < 0xc0) at += byte & 31;
    else if (byte === 0xd4 && bytes[at] === 0 && bytes[at + 1] === 0) at += 2;
    else {
      const size = LENGTH_BYTES[byte - 0xc0]!;
      if (size < 0) fail("plain msgpack without extensions");
      if (at + size > end) fail("whole msgpack");
      const length = lengthAt(bytes, at, size);
      at += size;
      if (byte >= 0xde) items = 2 * length;
      else if (byte >= 0xdc) items = length;
      else at += size === 0 ? FIXED_BYTES[byte - 0xc0]! : length;
    }
    if (items > end - at) fail("as many values as it says");
    if (items > 0) open.push(items);
    if (open.length > DEPTH_MAX) fail(`at most ${DEPTH_MAX} levels`);
  }
  if (at !== end) fail("nothing behind its last value");
}
