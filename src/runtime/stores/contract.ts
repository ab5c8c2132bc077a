/**
 * What control asks of the store that keeps its state. Control holds everything in memory; a store is read once, when control
 * starts, and only written afterwards. test/stores/behaviour.test.ts says the same about every store that there is.
 */
import type { ControlStoreError } from "../../errors/index.ts";

/** A table's name is a word: letters, digits, `_` and `-`. A key is any well-formed string. */
export interface Entry {
  readonly table: string;
  readonly key: string;
  readonly value: Uint8Array;
}

/** `undefined` deletes. The bytes belong to the store from the call on: they must not change any more. */
export interface Change {
  readonly table: string;
  readonly key: string;
  readonly value: Uint8Array | undefined;
}

/** Who writes to a store. */
export interface Leader {
  readonly epoch: number;
  /** How it described itself to `open`. */
  readonly holder: string;
}

export interface Loaded {
  /** Grows with each leader of a place, so that what an old one said can be told from what a new one says. */
  readonly epoch: number;
  /** Everything, each key once, in no order. */
  readonly entries: readonly Entry[];
  /** What an operator should know: settings of the place under which a promise does not hold. */
  readonly warnings: readonly string[];
}

export interface OpenOptions {
  /** Who this is: told to others that are refused, and to those that ask for the `leader`. */
  readonly holder?: string;
  /**
   * How long to wait for another leader to go, or for the place to be reached. 0, the default, fails at once; a standby
   * waits `Infinity`; a control that is started again has to wait until the lease of its predecessor has run out.
   */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

export interface ControlStore {
  /** Where it is, for messages: a folder, or a URL without user and password. */
  readonly place: string;
  /**
   * Becomes the only writer and reads everything. Rejects with `ControlStoreError`: `in-use` when another leader is alive,
   * `corrupt` when what is stored was damaged, `unreachable`, `refused`. Once for each store object.
   */
  open(options?: OpenOptions): Promise<Loaded>;
  /**
   * All of it or nothing, in the order of the calls; resolved when it is as durable as the place promises. Calls that come
   * together share one sync or round trip. Repeating a write is harmless. An empty one confirms that this is still the
   * leader. Rejects with `too-large` for one that exceeds the limit, with nothing changed; any other rejection comes with
   * `onLost`, and leaves unknown whether the changes are stored.
   */
  write(changes: readonly Change[]): Promise<void>;
  /**
   * Whether nobody else can lead at this moment. While it is false (the place is out of reach), what this process knows may
   * be old: answers about state wait for `write([])`.
   */
  leads(): boolean;
  /** Who leads now, without becoming one. For a standby and for messages. Needs no `open`. */
  leader(): Promise<Leader | undefined>;
  /** Called once, when the right or the means to write is gone for good: the process must stop serving. Not after `close`. */
  onLost: ((error: ControlStoreError) => void) | undefined;
  /** Writes what is waiting, lets others lead at once. Calls that come later are refused. */
  close(): Promise<void>;
}

/** What a kind of store has to do; the queue, the order and the end of life are the same for all (grouped.ts). */
export interface Backend {
  readonly place: string;
  /** One try. `lost` is called when the right to write went away while no commit was under way. */
  open(holder: string, lost: (error: ControlStoreError) => void): Promise<Loaded>;
  /** Never two at a time. When it rejects, the store is lost. */
  commit(changes: readonly Change[]): Promise<void>;
  leads(): boolean;
  leader(): Promise<Leader | undefined>;
  /** Gives back what `open` took, also after a failure. Called once; `open` is not under way. */
  close(): Promise<void>;
}

/** The changes of one write may have this many bytes, keys included. */
export const WRITE_BYTES_MAX = 64 * 1024 * 1024;

/** And this many changes: a server that runs them as one step is busy for so long. */
export const WRITE_CHANGES_MAX = 100_000;

/** How many bytes of changes go into one commit, if there is more than one write. */
export const COMMIT_BYTES = 4 * 1024 * 1024;
