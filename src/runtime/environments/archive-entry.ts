/** What readers of archives give, one of them a file, folder or link, and what they throw. */
export interface ArchiveEntry {
  /** As it is written in the archive: nothing has been checked. */
  readonly path: string;
  readonly kind: "file" | "folder" | "link" | "hardlink" | "other";
  /** Bytes of content; of a file only. */
  readonly size: number;
  readonly executable: boolean;
  /** Of links. */
  readonly target: string;
  /** Of files. To be read at most once, before the next entry is asked for. */
  content(): AsyncIterable<Uint8Array>;
}

/** Thrown by readers: the archive itself is damaged, or of a kind that is not read. */
export class ArchiveDamage extends Error {}
