/**
 * An archive as a sequence of entries, whatever its format: zip or a tar that gzip has packed, told apart by their first bytes.
 * Readers give what is written there and see to it that the file is whole; what may be made of it is decided in extract.ts.
 */
import { open } from "node:fs/promises";
import { ArchiveDamage } from "./archive-entry.ts";
import type { ArchiveEntry } from "./archive-entry.ts";
import { environmentError, messageOf, systemCode } from "./limits.ts";
import { readTarGzip } from "./tar-reader.ts";
import { readZip } from "./zip-reader.ts";

export async function* readArchive(file: string): AsyncGenerator<ArchiveEntry> {
  yield* (await formatOf(file)) === "zip" ? readZip(file) : readTarGzip(file);
}

/** What a reader of an archive, or of the content of an entry, has thrown, as users see it. Other errors stay what they are. */
export function explainDamage(error: unknown): unknown {
  // Codes with Z are what zlib says of bytes that it did not write.
  const damaged = error instanceof ArchiveDamage || systemCode(error).startsWith("Z_");
  if (!damaged) return error;
  return environmentError("The archive of a runtime environment is broken", messageOf(error), "Make it anew, as .zip or .tar.gz", error);
}

async function formatOf(file: string): Promise<"zip" | "tar.gz"> {
  const handle = await open(file);
  try {
    const start = Buffer.alloc(4);
    await handle.read(start, 0, 4, 0);
    if (start[0] === 0x1f && start[1] === 0x8b) return "tar.gz";
    // The second is that of an archive without entries.
    if (start.readUInt32LE() === 0x04034b50 || start.readUInt32LE() === 0x06054b50) return "zip";
  } finally {
    await handle.close();
  }
  throw new ArchiveDamage("It begins neither as zip nor as gzip");
}
