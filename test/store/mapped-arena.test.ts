/** The arena as a process maps it: copies over pages that are there, and over pages that are not there yet. */
import assert from "node:assert";
import { closeSync } from "node:fs";
import { it } from "node:test";
import { libc } from "../../src/memory/ffi.ts";
import { MappedArena } from "../../src/memory/mapped-arena.ts";
import { MIB, pattern } from "./harness.ts";

it("a copy is whole wherever it begins and ends, on pages that are there and on those that are not", { skip: !libc() }, () => {
  const library = libc()!;
  const capacity = 9 * MIB + 4096;
  const fd = library.memfd("mobula-test", capacity);
  const arena = new MappedArena(library, fd, capacity);
  try {
    const image = new Uint8Array(capacity);
    const spans = [
      [3 * MIB + 100, 50],
      [MIB - 1, 2 * MIB + 2],
      [5 * MIB, MIB],
      [64, 8 * MIB],
      [0, capacity],
      [9 * MIB - 64, 4160],
      [capacity, 0],
    ] as const;
    for (const [i, [offset, length]] of spans.entries()) {
      const bytes = pattern(length, i + 1);
      arena.copyIn(offset, bytes);
      image.set(bytes, offset);
      const seen = new Uint8Array(capacity);
      arena.copyOut(0, seen);
      assert.ok(Buffer.compare(seen, image) === 0, `after ${length} bytes at ${offset}`);
    }
    assert.throws(() => arena.copyIn(capacity - 10, new Uint8Array(11)), RangeError);
  } finally {
    arena.close();
    closeSync(fd);
  }
});
