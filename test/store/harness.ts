/** Starts a store daemon and connects clients to it, for the store's tests and speed script. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import v8 from "node:v8";
import vm from "node:vm";
import type { StoreStatistics } from "../../src/core/store/types.ts";
import { openStoreClient } from "../../src/memory/client.ts";
import type { StoreClient } from "../../src/memory/contract.ts";
import { putId } from "../../src/protocol/ids.ts";
import type { ObjectId, ProcessId } from "../../src/protocol/ids.ts";
import { Frames } from "./frames.ts";

export type BackendKind = "shared" | "files";
export const backends: readonly BackendKind[] = ["shared", "files"];
export const MIB = 2 ** 20;

export interface DaemonOptions {
  readonly backend: BackendKind;
  readonly capacityBytes: number;
  readonly spillDir?: string;
  /** Command that starts the daemon, before `node`. */
  readonly wrap?: readonly string[];
}

export const modulePath = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

export class Daemon {
  readonly child: ChildProcess;
  readonly sessionDir: string;
  readonly backend: BackendKind;
  readonly #members: Member[] = [];

  constructor(child: ChildProcess, sessionDir: string, backend: BackendKind) {
    this.child = child;
    this.sessionDir = sessionDir;
    this.backend = backend;
  }

  static async start(options: DaemonOptions): Promise<Daemon> {
    const sessionDir = mkdtempSync(join(tmpdir(), "mobula-store-test-"));
    const { capacityBytes, spillDir } = options;
    const argument = JSON.stringify({ sessionDir, capacityBytes, spillDir: spillDir?.replace("SESSION", sessionDir) });
    const command = [...(options.wrap ?? []), process.execPath, "--import", "tsx", modulePath("./daemon.ts"), argument].map((word) =>
      word.replaceAll("SESSION", sessionDir),
    );
    const child = spawn(command[0]!, command.slice(1), {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, MOBULA_NO_FFI: options.backend === "files" ? "1" : "" },
    });
    const daemon = new Daemon(child, sessionDir, options.backend);
    const ready = await Promise.race([once(child.stdout!, "data"), once(child, "exit").then(() => undefined)]);
    if (!ready) throw new Error("the store daemon did not start");
    return daemon;
  }

  async join(fullTimeoutMs?: number): Promise<Member> {
    const member = await joinStore(this.sessionDir, fullTimeoutMs);
    this.#members.push(member);
    return member;
  }

  /** Ends everything and removes the session folder. */
  async stop(): Promise<void> {
    for (const member of this.#members) member.leave();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exit = once(this.child, "exit");
      this.child.stdin!.end();
      await exit;
    }
    rmSync(this.sessionDir, { recursive: true, force: true });
  }
}

/** This process, or another, as a client of the store. */
export interface Member {
  readonly processId: ProcessId;
  readonly client: StoreClient;
  readonly claimIndex: number;
  readonly lost: { id: ObjectId; reason: string }[];
  readonly sealed: { id: ObjectId; holder: ProcessId; size: number; contains: string[] }[];
  nextId(): ObjectId;
  put(bytes: Uint8Array): ObjectId;
  free(...ids: ObjectId[]): void;
  /** Also asserts the machine's invariants. Comes after everything that this member has said. */
  stats(): Promise<StoreStatistics>;
  claim(word: number): Promise<number>;
  leave(): void;
}

export async function joinStore(sessionDir: string, fullTimeoutMs?: number): Promise<Member> {
  const socket = connect(join(sessionDir, "store.sock"));
  const processId = randomBytes(6).toString("hex") as ProcessId;
  const handlers = new Map<string, (body: never) => void>();
  const frames = new Frames(socket, (name, body) => handlers.get(name)?.(body as never));
  const welcome = new Promise<{ memory: Record<string, string>; claims: number }>((resolve, reject) => {
    handlers.set("welcome", resolve as never);
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the store daemon closed the connection")));
  });
  frames.send("hello", { processId });
  const { memory, claims } = await welcome;
  const client = openStoreClient({
    memory,
    connection: { send: (name, body) => frames.send(name, body), on: (name, handler) => void handlers.set(name, handler as never) },
    ...(fullTimeoutMs === undefined ? {} : { fullTimeoutMs }),
  });
  return member(socket, frames, handlers, { processId, client, claimIndex: claims });
}

function member(
  socket: Socket,
  frames: Frames,
  handlers: Map<string, (body: never) => void>,
  base: Pick<Member, "processId" | "client" | "claimIndex">,
): Member {
  const { processId, client } = base;
  let count = 0;
  const asked = new Map<number, (stats: never) => void>();
  const ask = (name: string, body: object) =>
    new Promise<never>((resolve) => {
      const call = ++count;
      asked.set(call, resolve);
      frames.send(name, { ...body, call });
    });
  handlers.set("test.stats", ({ call, stats }: { call: number; stats: never }) => {
    asked.get(call)?.(stats);
    asked.delete(call);
  });
  const lost: Member["lost"] = [];
  const sealed: Member["sealed"] = [];
  handlers.set("test.lost", (body: Member["lost"][number]) => lost.push(body));
  handlers.set("test.sealed", (body: Member["sealed"][number]) => sealed.push(body));
  let puts = 0;
  const nextId = () => putId(processId, ++puts);
  return {
    ...base,
    lost,
    sealed,
    nextId,
    put(bytes) {
      const object = client.create(nextId(), bytes.byteLength);
      object.write(0, bytes);
      object.seal(processId, []);
      return object.id;
    },
    free: (...ids) => frames.send("test.free", { ids }),
    stats: () => ask("test.stats", {}),
    claim: (word) => ask("test.claim", { index: base.claimIndex, word }),
    leave() {
      client.close();
      socket.destroy();
    },
  };
}

v8.setFlagsFromString("--expose-gc");
const gc = vm.runInNewContext("gc") as () => void;

/** Collects garbage and lets finalizers run, until `done` or the time is over. */
export async function collected(done: () => Promise<boolean>, timeoutMs = 10_000): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  do {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
    if (await done()) return true;
  } while (performance.now() < deadline);
  return false;
}

/** Asks again and again until it is so, or the time is over. */
export async function eventually(done: () => Promise<boolean>, timeoutMs = 10_000): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  do {
    if (await done()) return true;
    await new Promise((resolve) => setImmediate(resolve));
  } while (performance.now() < deadline);
  return false;
}

/** Bytes that depend on `seed` and on their place. */
export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

/** A generator of numbers in [0, 1), the same for the same seed. */
export function random(seed: number): () => number {
  let x = seed >>> 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}
