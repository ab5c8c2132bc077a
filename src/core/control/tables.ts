/**
 * What of control's state is kept in a store: tables of records. Who is asked for news is not kept: nodes say it again when they join.
 */
import { decodeRecord, encodeRecord } from "../../protocol/record-format.ts";
import { jobDescription, nodeView, submission } from "../../protocol/cluster.ts";
import { definitions } from "../../protocol/messages.ts";
import {
  actorOptions,
  actorId,
  deathReason,
  failure,
  jobId,
  nodeId,
  processId,
  resources,
  shape,
  workerAddress,
} from "../../protocol/parts.ts";
import { bool, bytes, list, literal, num, obj, optional, str, uint } from "../../protocol/schema.ts";
import type { Schema, Static } from "../../protocol/schema.ts";

export const phase = literal("declared", "placing", "starting", "alive", "pausing", "dead");

const schemas = {
  node: obj({ view: nodeView }),
  actor: obj({
    jobId,
    creator: processId,
    className: str(256),
    options: actorOptions,
    shape,
    phase,
    epoch: uint(),
    restarts: uint(),
    quickDeaths: uint(),
    worker: optional(workerAddress),
    assigned: resources,
    gpuIds: list(uint()),
    reason: optional(deathReason),
    error: optional(bytes()),
    failure: optional(failure),
    given: uint(),
    /** Of the dead: which came first. */
    over: uint(),
  }),
  /** What an actor is made from, until it is dead. */
  creation: obj(definitions.actorCreate.shape),
  /** By node: the number of its next message whose effect is not in the store. */
  heard: obj({ incarnation: uint(), next: uint() }),
  /** By the id that was declared: the actor that it means. */
  alias: obj({ actorId, given: uint() }),
  /** Aliases that are over, oldest first by number. */
  pastAlias: obj({ number: uint() }),
  /** By process: the number of the last actor that it declared. */
  declared: obj({ last: uint() }),
  /** Processes that are gone, oldest first by number. */
  gone: obj({ number: uint() }),
  job: obj({
    /** A job that is a driver; else it was submitted. */
    driver: optional(jobDescription),
    submission: optional(submission),
    /** Its end was asked for. */
    stopping: optional(bool),
    status: literal("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"),
    message: str(16 * 1024),
    exitCode: optional(num()),
    nodeId: optional(nodeId),
    /** Milliseconds since 1970. */
    submittedAt: num(),
    startedAt: optional(num()),
    endedAt: optional(num()),
    /** Of the ended: which came first. */
    over: uint(),
  }),
  group: obj({
    jobId,
    name: optional(str(256)),
    strategy: literal("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"),
    detached: bool,
    bundles: list(resources, 10_000),
    state: literal("pending", "ready", "rescheduling", "removed", "failed"),
    /** By bundle; empty for one that has no node. */
    nodes: list(str(64), 10_000),
    failure: optional(failure),
    attempt: uint(),
    /** Of those that are over: which came first. */
    over: uint(),
  }),
  value: obj({ value: bytes() }),
  event: obj({ at: num(), kind: str(64), message: str(64 * 1024), nodeId: optional(str(64)), jobId: optional(str(64)) }),
} as const;

export type TableName = keyof typeof schemas;
export type RecordOf<T extends TableName> = Static<(typeof schemas)[T]>;

/** Told of every record that has changed, or is gone, since it was last asked for. */
export type Keep = (table: TableName, key: string) => void;

export interface SavedEntry {
  readonly table: string;
  readonly key: string;
  readonly value: Uint8Array;
}

export function saved<T extends TableName>(_table: T, record: RecordOf<T>): Uint8Array {
  return encodeRecord(record);
}

/** All entries of a store by table and key. Throws for one that cannot be read; tables of a later version are refused by name. */
export class SavedTables {
  readonly #tables = new Map<string, Map<string, Uint8Array>>();

  constructor(entries: Iterable<SavedEntry>) {
    for (const { table, key, value } of entries) {
      if (!Object.hasOwn(schemas, table)) throw new Error(`the store has a table "${table}", which this version does not know`);
      let records = this.#tables.get(table);
      if (records === undefined) this.#tables.set(table, (records = new Map()));
      records.set(key, value);
    }
  }

  *read<T extends TableName>(table: T): Generator<[key: string, record: RecordOf<T>]> {
    for (const [key, value] of this.#tables.get(table) ?? []) {
      yield [key, decode(table, key, value)];
    }
  }

  get<T extends TableName>(table: T, key: string): RecordOf<T> | undefined {
    const value = this.#tables.get(table)?.get(key);
    return value === undefined ? undefined : decode(table, key, value);
  }
}

const decode = <T extends TableName>(table: T, key: string, value: Uint8Array): RecordOf<T> =>
  decodeRecord(schemas[table] as unknown as Schema<RecordOf<T>>, value, `${table}/${key}`);
