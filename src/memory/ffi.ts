/**
 * The few functions of libc that shared memory needs, behind an interface of our own. koffi is loaded when first asked
 * for (13 ms), and only on Linux; without it `libc()` is undefined and the file backend serves. No policy here.
 */
import { createRequire } from "node:module";
import { getSystemErrorMap } from "node:util";

/** A libc call failed; like Node's own system errors. */
export class SystemCallError extends Error {
  override readonly name = "SystemCallError";
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  constructor(syscall: string, errno: number) {
    const [code, text] = getSystemErrorMap().get(-errno) ?? [`E${errno}`, "unknown error"];
    super(`${code}: ${text}, ${syscall}`);
    this.code = code;
    this.errno = -errno;
    this.syscall = syscall;
  }
}

/** Addresses are numbers: user space ends below 2^53 on every platform that koffi serves. */
export interface Libc {
  /** Memory with a descriptor and no name: gone with its last holder. */
  memfd(name: string, size: number): number;
  /** Maps a file: `shared` writes reach it, `private` ones stay here (copy on write). `at`: over what is mapped there. */
  map(fd: number, offset: number, length: number, mode: "shared" | "private", at?: number): number;
  /** Puts blank private memory over what is mapped there. */
  mapBlank(at: number, length: number): void;
  unmap(address: number, length: number): void;
  /** Where the kernel is willing, this range has pages of 2 MiB: fewer faults here and in every process that maps the same memory. */
  preferLargePages(address: number, length: number): void;
  /** Faults pages in for writing at once; false where the kernel cannot. */
  populate(address: number, length: number): boolean;
  /** The same on another thread. */
  populateInBackground(address: number, length: number): Promise<boolean>;
  copyIn(address: number, bytes: Uint8Array): void;
  copyOut(bytes: Uint8Array, address: number): void;
  /** Memory as an ArrayBuffer. It does not own the memory: see to it that it is unmapped after the buffer is gone. */
  view(address: number, length: number): ArrayBuffer;
  /** Blocks this thread until woken, at most `timeoutMs`; returns at once if the word has another value. May return early. */
  futexWait(address: number, expected: number, timeoutMs: number): void;
  futexWake(address: number): void;
  pipe(): { read: number; write: number };
  makeFifo(path: string): void;
  /** Locks an open file for as long as it is open, in any process (flock); false when another has it. */
  tryLock(fd: number): boolean;
  /** Takes from what V8 counts as external memory of this thread's JavaScript; undefined where V8 is not known to allow it. */
  readonly subtractExternal: ((bytes: number) => void) | undefined;
  /** The kernel sends `signal` to this process when the thread that started it ends. */
  setParentDeathSignal(signal: number): void;
}

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MFD_CLOEXEC = 1;
const O_CLOEXEC = 0o2000000;
const MADV_HUGEPAGE = 14;
const MADV_POPULATE_WRITE = 23;
const PR_SET_PDEATHSIG = 1;
const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const FUTEX_NUMBER: Record<string, number | undefined> = { x64: 202, arm64: 98, riscv64: 98, loong64: 98 };
const LOCK_EX = 2;
const LOCK_NB = 4;
const EAGAIN = 11;
const EINTR = 4;
const ETIMEDOUT = 110;

type Koffi = typeof import("koffi");
type Call = (...args: unknown[]) => number;

function bind(koffi: Koffi, futexNumber: number): Libc {
  const lib = koffi.load(null);
  const func = (name: string, args: string[], result = "int"): Call => lib.func(name, result, args) as Call;
  const memfdCreate = func("memfd_create", ["str", "uint"]);
  const ftruncate = func("ftruncate", ["int", "int64_t"]);
  const mmap = func("mmap", ["int64_t", "size_t", "int", "int", "int", "int64_t"], "int64_t");
  const munmap = func("munmap", ["int64_t", "size_t"]);
  const madvise = lib.func("madvise", "int", ["int64_t", "size_t", "int"]);
  const copyIn = func("memcpy", ["int64_t", "const void *", "size_t"], "int64_t");
  const copyOut = func("memcpy", ["void *", "int64_t", "size_t"], "int64_t");
  const futex = func("syscall", ["int64_t", "int64_t", "int64_t", "int64_t", "const void *", "int64_t", "int64_t"], "int64_t");
  const pipe2 = func("pipe2", ["void *", "int"]);
  const mkfifo = func("mkfifo", ["str", "uint"]);
  const flock = func("flock", ["int", "int"]);
  const prctl = func("prctl", ["int", "uint64_t", "uint64_t", "uint64_t", "uint64_t"]);
  const checked = (name: string, result: number): number => {
    if (result === -1) throw new SystemCallError(name, koffi.errno());
    return result;
  };
  const protection = PROT_READ_WRITE;
  return {
    memfd(name, size) {
      const fd = checked("memfd_create", memfdCreate(name, MFD_CLOEXEC));
      checked("ftruncate", ftruncate(fd, size));
      return fd;
    },
    map(fd, offset, length, mode, at) {
      const flags = (mode === "shared" ? MAP_SHARED : MAP_PRIVATE) | (at === undefined ? 0 : MAP_FIXED);
      return checked("mmap", mmap(at ?? 0, length, protection, flags, fd, offset));
    },
    mapBlank(at, length) {
      checked("mmap", mmap(at, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    },
    unmap: (address, length) => void checked("munmap", munmap(address, length)),
    // Advice only: a kernel without large pages refuses, and nothing else is different.
    preferLargePages: (address, length) => void madvise(address, length, MADV_HUGEPAGE),
    populate: (address, length) => madvise(address, length, MADV_POPULATE_WRITE) === 0,
    populateInBackground: (address, length) =>
      new Promise((resolve) => madvise.async(address, length, MADV_POPULATE_WRITE, (_: unknown, result: number) => resolve(result === 0))),
    copyIn: (address, bytes) => void copyIn(address, bytes, bytes.byteLength),
    copyOut: (bytes, address) => void copyOut(bytes, address, bytes.byteLength),
    view: (address, length) => koffi.view(BigInt(address), length),
    futexWait(address, expected, timeoutMs) {
      const seconds = Math.floor(timeoutMs / 1000);
      const time = new BigInt64Array([BigInt(seconds), BigInt(Math.floor((timeoutMs - seconds * 1000) * 1e6))]);
      if (futex(futexNumber, address, FUTEX_WAIT, expected, time, 0, 0) !== -1) return;
      const errno = koffi.errno();
      if (errno !== EAGAIN && errno !== EINTR && errno !== ETIMEDOUT) throw new SystemCallError("futex", errno);
    },
    futexWake: (address) => void checked("futex", futex(futexNumber, address, FUTEX_WAKE, 0x7fffffff, null, 0, 0)),
    pipe() {
      const ends = new Int32Array(2);
      checked("pipe2", pipe2(ends, O_CLOEXEC));
      return { read: ends[0]!, write: ends[1]! };
    },
    makeFifo: (path) => void checked("mkfifo", mkfifo(path, 0o600)),
    tryLock(fd) {
      if (flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
      if (koffi.errno() === EAGAIN) return false;
      throw new SystemCallError("flock", koffi.errno());
    },
    subtractExternal: bindAccounting(lib),
    setParentDeathSignal: (signal) => void checked("prctl", prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)),
  };
}

/** Newer ones abort when the count falls below what they have counted. */
const NEWEST_V8 = 12;

/**
 * V8's own method, by the name that it has in Node's executable. It is only ever given negative numbers: it subtracts them and does nothing
 * else, while a rise could start a collection, on a stack that V8 does not know.
 */
function bindAccounting(lib: ReturnType<Koffi["load"]>): Libc["subtractExternal"] {
  if (Number.parseInt(process.versions.v8, 10) > NEWEST_V8) return undefined;
  try {
    const isolate = lib.func("_ZN2v87Isolate10GetCurrentEv", "int64_t", []) as Call;
    const adjust = lib.func("_ZN2v87Isolate37AdjustAmountOfExternalAllocatedMemoryEl", "int64_t", ["int64_t", "int64_t"]) as Call;
    return (bytes) => void adjust(isolate(), -Math.abs(bytes));
  } catch {
    return undefined; // A build that does not export it loses nothing but speed.
  }
}

let loaded: { libc: Libc | undefined; why: string } | undefined;

function load(): { libc: Libc | undefined; why: string } {
  if (process.env["MOBULA_NO_FFI"] === "1") return { libc: undefined, why: "MOBULA_NO_FFI=1 is set" };
  const futexNumber = FUTEX_NUMBER[process.arch];
  if (process.platform !== "linux" || futexNumber === undefined) {
    return { libc: undefined, why: `shared memory is not implemented for ${process.platform} on ${process.arch}` };
  }
  try {
    return { libc: bind(createRequire(import.meta.url)("koffi") as Koffi, futexNumber), why: "" };
  } catch (error) {
    return { libc: undefined, why: `koffi could not be loaded: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** Loaded once. Undefined where there is no FFI: `whyNoLibc` says why. */
export function libc(): Libc | undefined {
  return (loaded ??= load()).libc;
}

export function whyNoLibc(): string {
  return (loaded ??= load()).why;
}
