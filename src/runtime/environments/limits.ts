/**
 * What a package may be: how large, how many files, how long a name; and how its errors are told. Not here: the checks of single
 * entries (extract.ts), which use these.
 */
import { RuntimeEnvError, explain } from "../../errors/index.ts";

export interface PackageLimits {
  /** Of all files together. */
  readonly bytes: number;
  /** Of the archive: headers and what cannot be compressed come to it. */
  readonly archiveBytes: number;
  /** Files, folders and links. */
  readonly entries: number;
  /** Bytes of a path, and of one name in it. */
  readonly pathBytes: number;
  readonly nameBytes: number;
  /** How many times larger than the archive its content may be, once that is above `ratioFrom` bytes. */
  readonly ratio: number;
  readonly ratioFrom: number;
}

const MIB = 2 ** 20;

export const packageLimits: PackageLimits = {
  bytes: 500 * MIB,
  archiveBytes: 600 * MIB,
  entries: 100_000,
  pathBytes: 1024,
  nameBytes: 255,
  ratio: 500,
  ratioFrom: 16 * MIB,
};

export function environmentError(
  what: string,
  why?: string,
  todo?: string,
  cause?: unknown,
  lastLines?: readonly string[],
): RuntimeEnvError {
  return new RuntimeEnvError(explain(what, why, todo), {
    ...(cause === undefined ? {} : { cause }),
    ...(lastLines === undefined ? {} : { lastLines }),
  });
}

/** It is refused for its size alone: of its bytes, or in the number of its files. */
export class PackageTooLarge extends RuntimeEnvError {}

export const tooLargeError = (what: string, why: string, todo?: string): PackageTooLarge => new PackageTooLarge(explain(what, why, todo));

export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  const unit = Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const amount = bytes / 1024 ** unit;
  return `${amount < 10 ? amount.toFixed(1) : Math.round(amount)} ${["", "KiB", "MiB", "GiB", "TiB"][unit]!}`;
}

export const countText = (count: number): string => count.toLocaleString("en-US");

/** Name of an error of the system, such as ENOSPC; "" for any other. */
export function systemCode(error: unknown): string {
  const code: unknown = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** What is wrong, in words that help: the codes of the file system that users meet. */
export function whyFailed(error: unknown): string {
  switch (systemCode(error)) {
    case "ENOSPC":
      return "The disk is full";
    case "EFBIG":
      return "A file may not become that large";
    case "EDQUOT":
      return "The disk quota is used up";
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return `It may not be read or written: ${messageOf(error)}`;
    default:
      return messageOf(error);
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
