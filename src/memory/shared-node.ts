/**
 * The shared-memory backend in the daemon: it owns the arena and the control segment (memfds: without a name, gone with
 * the last process that maps them), hands out slots, reads the doorbell, and faults fresh pages in a little ahead.
 */
import { randomBytes } from "node:crypto";
import { closeSync, readlinkSync } from "node:fs";
import { Socket } from "node:net";
import type { Grant, Place, Refusal } from "../core/store/types.ts";
import { MobulaError } from "../errors/index.ts";
import type { ProcessId } from "../protocol/ids.ts";
import type { NodeBackend, NodeEvents } from "./backend.ts";
import { CONTROL_BYTES, Mailbox, SLOTS, claimWords } from "./control-segment.ts";
import { DoorbellReader } from "./doorbell.ts";
import type { DoorbellLine } from "./doorbell.ts";
import type { Libc } from "./ffi.ts";
import { MappedArena } from "./mapped-arena.ts";
import type { ByteSink, ByteSource } from "./spill-file.ts";

const MIB = 2 ** 20;
/** How much fresh memory is kept faulted in ahead of use, and in which steps. */
const AHEAD = 32 * MIB;
const STEP = MIB;

interface Tenant {
  readonly process: ProcessId;
  readonly slot: number;
  readonly tenant: number;
  readonly mailbox: Mailbox;
}

export class SharedNodeBackend implements NodeBackend {
  readonly #libc: Libc;
  readonly #events: NodeEvents;
  readonly #arena: MappedArena;
  readonly #capacity: number;
  readonly #slabBytes: number;
  readonly #token = randomBytes(6).toString("hex");
  readonly #fds: { arena: number; control: number; doorbell: number };
  readonly #controlBase: number;
  readonly #doorbell: Socket;
  readonly #tenants = new Map<ProcessId, Tenant>();
  readonly #bySlot: Array<Tenant | undefined> = new Array<Tenant | undefined>(SLOTS).fill(undefined);
  /** Longest free first: what an earlier tenant's peers may still look at stays untouched for long. */
  readonly #freeSlots: number[] = Array.from({ length: SLOTS }, (_, slot) => slot);
  #populatedTo = 0;
  #populating: Promise<void> | undefined;
  #populateTarget = 0;
  #closed = false;

  constructor(libc: Libc, capacity: number, slabBytes: number, events: NodeEvents) {
    this.#libc = libc;
    this.#events = events;
    this.#capacity = capacity;
    this.#slabBytes = slabBytes;
    const arena = libc.memfd(`mobula-${this.#token}-arena`, capacity);
    const control = libc.memfd(`mobula-${this.#token}-control`, CONTROL_BYTES);
    const pipe = libc.pipe();
    this.#fds = { arena, control, doorbell: pipe.write };
    this.#arena = new MappedArena(libc, arena, capacity);
    this.#controlBase = libc.map(control, 0, CONTROL_BYTES, "shared");
    const reader = new DoorbellReader();
    this.#doorbell = new Socket({ fd: pipe.read, readable: true, writable: false });
    this.#doorbell.on("data", (chunk: Uint8Array) => {
      for (const line of reader.push(chunk)) this.#heard(line);
    });
    this.#doorbell.on("error", () => undefined);
    this.#doorbell.unref();
  }

  describe(to: ProcessId): Record<string, string> {
    const { slot, tenant } = this.#tenants.get(to) ?? this.#moveIn(to);
    return {
      backend: "shared",
      pid: String(process.pid),
      token: this.#token,
      arena: String(this.#fds.arena),
      control: String(this.#fds.control),
      doorbell: String(this.#fds.doorbell),
      pipe: readlinkSync(`/proc/self/fd/${this.#fds.doorbell}`),
      capacity: String(this.#capacity),
      slabBytes: String(this.#slabBytes),
      slot: String(slot),
      tenant: String(tenant),
    };
  }

  answer(to: ProcessId, number: number, result: Grant | Refusal): boolean {
    return this.#tenants.get(to)?.mailbox.answer(number, result) ?? false;
  }

  putReserve(to: ProcessId, grant: Grant | undefined): boolean {
    const tenant = this.#tenants.get(to);
    tenant?.mailbox.putReserve(grant);
    return tenant !== undefined;
  }

  source(place: Place): ByteSource & { close(): Promise<void> } {
    return { read: (at, length) => this.#arena.sharedView(place.offset + at, length), close: async () => undefined };
  }

  sink(place: Place): ByteSink & { close(): Promise<void> } {
    return {
      buffer: (at, length) => this.#arena.sharedView(place.offset + at, length),
      write: () => undefined,
      close: async () => undefined,
    };
  }

  /** The range is used again as it is, while it is warm. */
  discard(): void {}

  /** Starts only when the arena is used, and ends as soon as it is far enough ahead: an idle node does nothing. */
  used(freshStart: number): void {
    this.#populateTarget = Math.min(this.#capacity, freshStart + AHEAD);
    this.#populatedTo = Math.max(this.#populatedTo, freshStart);
    if (this.#populatedTo < this.#populateTarget) this.#populating ??= this.#populate().finally(() => (this.#populating = undefined));
  }

  leave(process: ProcessId): void {
    const tenant = this.#tenants.get(process);
    if (!tenant) return;
    this.#tenants.delete(process);
    this.#bySlot[tenant.slot] = undefined;
    this.#freeSlots.push(tenant.slot);
  }

  claimIndex(process: ProcessId): number {
    return (this.#tenants.get(process) ?? this.#moveIn(process)).slot;
  }

  claims(index: number): Int32Array | undefined {
    return index < 0 ? undefined : claimWords(this.#libc, this.#controlBase, index);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#doorbell.destroy();
    await this.#populating;
    this.#arena.close();
    for (const fd of Object.values(this.#fds)) closeSync(fd);
  }

  #moveIn(process: ProcessId): Tenant {
    const slot = this.#freeSlots.shift();
    if (slot === undefined)
      throw new MobulaError("TOO_MANY_PROCESSES", `a node serves at most ${SLOTS} processes at a time, and there are that many`);
    const mailbox = new Mailbox(this.#libc, this.#controlBase, slot);
    const tenant: Tenant = { process, slot, tenant: mailbox.reset(), mailbox };

    this.#tenants.set(process, tenant);
    this.#bySlot[slot] = tenant;
    return tenant;
  }

  #heard(line: DoorbellLine): void {
    const tenant = this.#bySlot[line.slot];
    if (!tenant || tenant.tenant !== line.tenant) return;
    if (line.reports.length > 0) this.#events.reports(tenant.process, line.reports);
    if (line.ask) this.#events.request(tenant.process, line.ask.number, line.ask);
    if (line.reserve) this.#events.reserve(tenant.process);
  }

  async #populate(): Promise<void> {
    while (!this.#closed && this.#populatedTo < this.#populateTarget) {
      const from = this.#populatedTo;
      const length = Math.min(STEP, this.#populateTarget - from);
      if (!(await this.#arena.populateInBackground(from, length))) this.#populatedTo = this.#capacity;
      else this.#populatedTo = Math.max(this.#populatedTo, from + length);
    }
  }
}
