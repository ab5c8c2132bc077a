/**
 * The store in Redis or Valkey, for a cluster whose head may be another machine tomorrow. Who leads is decided in Redis
 * (redis-scripts.ts); here is what happens when it does not answer: a commit is repeated, on a new connection, to whoever is
 * the master then, until it is done, or another leads, or the patience is over. Repeating is harmless: commits have numbers.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { ControlStoreError, explain, InvalidOptionError } from "../../errors/index.ts";
import type { StoreFailure } from "../../errors/index.ts";
import type { Backend, Change, Entry, Leader, Loaded } from "./contract.ts";
import { inUse } from "./memory.ts";
import { BrokenConnection, ReplyError } from "./redis-connection.ts";
import type { RedisConnection } from "./redis-connection.ts";
import { isPassing, redisFailure, storeError } from "./redis-failures.ts";
import { connectToMaster, text } from "./redis-locate.ts";
import type { Reply } from "./redis-replies.ts";
import { ACQUIRE, COMMIT, RELEASE, RENEW } from "./redis-scripts.ts";
import type { Script } from "./redis-scripts.ts";
import { parseRedisUrl } from "./redis-url.ts";
import type { RedisPlace } from "./redis-url.ts";
import { settingsToWarnOf } from "./redis-settings.ts";

export interface RedisOptions {
  /** redis-url.ts has the forms. */
  readonly url: string;
  /** Clusters share a Redis when they have ids of their own. */
  readonly clusterId: string;
  /** How long a leader that fell silent keeps others away. */
  readonly leaseMs?: number;
  /** How long writes wait for a Redis that does not answer before the store is lost. */
  readonly patienceMs?: number;
}

const LEASE_MS = 2000;
const PATIENCE_MS = 30_000;
/** For clocks that do not run at the same speed. */
const LEASE_MARGIN = 0.1;
const TRY_AGAIN_MS = 100;
const SCAN_COUNT = "1000";
const RELEASE_MS = 1000;

export class RedisBackend implements Backend {
  readonly place: string;
  readonly #redis: RedisPlace;
  readonly #keys: { readonly fence: string; readonly lease: string; readonly state: string };
  readonly #leaseMs: number;
  readonly #patienceMs: number;
  /** Tells this leader from any other, also after a fail-over to a replica that had not heard of it. */
  readonly #token = randomBytes(12).toString("hex");
  readonly #closing = new AbortController();
  #connection: RedisConnection | undefined;
  #connecting: Promise<RedisConnection> | undefined;
  #epoch = 0;
  #sequence = 0;
  #holder = "";
  #leaseUntil = 0;
  #renewal: NodeJS.Timeout | undefined;
  #committing = false;
  /** Since when Redis has not answered. */
  #silentSince: number | undefined;
  #lost: (error: ControlStoreError) => void = () => undefined;

  constructor({ url, clusterId, leaseMs = LEASE_MS, patienceMs = PATIENCE_MS }: RedisOptions) {
    if (!/^[\w.-]{1,64}$/.test(clusterId)) {
      const why = explain("`clusterId` cannot be used", "It is a word of letters, digits, `_`, `-` and `.`");
      throw new InvalidOptionError(why, { option: "clusterId", value: clusterId });
    }
    this.#redis = parseRedisUrl(url);
    this.place = this.#redis.shown;
    const tag = `mobula:{${clusterId}}`;
    this.#keys = { fence: `${tag}:fence`, lease: `${tag}:lease`, state: `${tag}:state` };
    this.#leaseMs = leaseMs;
    this.#patienceMs = patienceMs;
  }

  async open(holder: string, lost: (error: ControlStoreError) => void): Promise<Loaded> {
    this.#holder = holder;
    this.#lost = lost;
    try {
      const connection = await this.#connected();
      const sentAt = performance.now();
      const [answer, first, second] = await this.#run(connection, ACQUIRE, [this.#token, String(this.#leaseMs), holder]);
      if (answer === "taken") throw inUse(this.place, leaderIn(first)!.holder);
      if (answer !== "ok") throw this.#gone();
      this.#epoch = Number(first);
      this.#sequence = Number(second);
      await this.#replicated(connection);
      this.#leaseIsFrom(sentAt);
      this.#renewal = setInterval(() => void this.#renew(), this.#leaseMs / 4);
      const warnings = await settingsToWarnOf(connection, this.#redis);
      const entries = await this.#load(connection);
      // Nobody may have taken over while all was read.
      await this.#confirm(connection);
      return { epoch: this.#epoch, entries, warnings };
    } catch (error) {
      clearInterval(this.#renewal);
      throw this.#failure("cannot be opened", error);
    }
  }

  async #load(connection: RedisConnection): Promise<Entry[]> {
    const found = new Map<string, Entry>();
    let cursor = "0";
    do {
      const [next, pairs] = (await connection.command(["HSCAN", this.#keys.state, cursor, "COUNT", SCAN_COUNT])) as [Reply, Buffer[]];
      for (let i = 0; i < pairs.length; i += 2) {
        const name = pairs[i]!.toString("utf8");
        const slash = name.indexOf("/");
        found.set(name, { table: name.slice(0, slash), key: name.slice(slash + 1), value: pairs[i + 1]! });
      }
      cursor = text(next);
    } while (cursor !== "0");
    return [...found.values()];
  }

  async commit(changes: readonly Change[]): Promise<void> {
    const sequence = this.#sequence + (changes.length > 0 ? 1 : 0);
    const words = wordsOf(changes);
    const startedAt = performance.now();
    this.#committing = true;
    try {
      for (;;) {
        try {
          const connection = await this.#connected();
          const sentAt = performance.now();
          this.#check(await this.#run(connection, COMMIT, [...this.#proof(sequence), ...words]));
          await this.#replicated(connection);
          this.#sequence = sequence;
          this.#leaseIsFrom(sentAt);
          return;
        } catch (error) {
          if (!this.#mayPass(error) || performance.now() - startedAt > this.#patienceMs) throw this.#failure("cannot be written", error);
        }
        await sleep(TRY_AGAIN_MS, undefined, { signal: this.#closing.signal });
      }
    } finally {
      this.#committing = false;
    }
  }

  /** Epoch, token, sequence, lease and holder: with these a script begins. */
  #proof(sequence: number): string[] {
    return [String(this.#epoch), this.#token, String(sequence), String(this.#leaseMs), this.#holder];
  }

  async #renew(): Promise<void> {
    // A commit renews too, and minds for itself.
    if (this.#committing || this.#closing.signal.aborted) return;
    try {
      await this.#confirm(await this.#connected());
    } catch (error) {
      this.#silentSince ??= performance.now();
      if (this.#closing.signal.aborted || this.#committing) return;
      if (this.#mayPass(error) && performance.now() - this.#silentSince < this.#patienceMs) return;
      clearInterval(this.#renewal);
      this.#lost(this.#failure("is lost", error));
    }
  }

  async #confirm(connection: RedisConnection): Promise<void> {
    const sentAt = performance.now();
    this.#check(await this.#run(connection, RENEW, this.#proof(this.#sequence)));
    this.#leaseIsFrom(sentAt);
  }

  #leaseIsFrom(sentAt: number): void {
    this.#silentSince = undefined;
    this.#leaseUntil = Math.max(this.#leaseUntil, sentAt + this.#leaseMs * (1 - LEASE_MARGIN));
  }

  leads(): boolean {
    return performance.now() < this.#leaseUntil;
  }

  /** Throws for what a script answers besides `ok`. */
  #check([answer, detail]: string[]): void {
    if (answer === "ok") return;
    this.#leaseUntil = 0;
    if (answer === "gone") throw this.#gone();
    if (answer === "rolled-back") {
      const why = `Redis has ${detail} commits, and had acknowledged ${this.#sequence}`;
      throw this.#error("rolled-back", "lost what it had acknowledged", why, "Set appendfsync always, and `replicas` in the URL.");
    }
    const holder = leaderIn(detail)?.holder ?? "another control";
    const message = explain(`${holder} took over the control store at ${this.place}`, "This process had not renewed its lease in time");
    throw new ControlStoreError(message, { reason: "fenced", place: this.place, holder });
  }

  #gone(): ControlStoreError {
    const why = "Its keys, or a part of them, were deleted";
    return this.#error("rolled-back", "lost what it had acknowledged", why, "Restore them, or start with --fresh.");
  }

  /** What this connection wrote is with as many replicas as the URL asks for. */
  async #replicated(connection: RedisConnection): Promise<void> {
    const { replicas } = this.#redis;
    if (replicas === 0) return;
    const have = Number(await connection.command(["WAIT", String(replicas), String(this.#leaseMs)]));
    if (have < replicas) throw new BrokenConnection(`${have} of ${replicas} replicas have the write`);
  }

  async #run(connection: RedisConnection, script: Script, words: readonly (string | Uint8Array)[]): Promise<string[]> {
    const rest = ["3", this.#keys.fence, this.#keys.lease, this.#keys.state, ...words];
    try {
      const reply = await connection.command(["EVALSHA", script.sha, ...rest]);
      return (reply as Reply[]).map(text);
    } catch (error) {
      if (!(error instanceof ReplyError) || error.code !== "NOSCRIPT") throw error;
      return ((await connection.command(["EVAL", script.text, ...rest])) as Reply[]).map(text);
    }
  }

  async #connected(): Promise<RedisConnection> {
    if (this.#connection?.isBroken === false) return this.#connection;
    this.#connecting ??= connectToMaster(this.#redis, this.#keys.fence).then(
      (connection) => {
        this.#connecting = undefined;
        if (this.#closing.signal.aborted) connection.close();
        return (this.#connection = connection);
      },
      (error: unknown) => {
        this.#connecting = undefined;
        throw error;
      },
    );
    return this.#connecting;
  }

  /** Whether it is worth another try; the next one may have to go elsewhere. */
  #mayPass(error: unknown): boolean {
    if (error instanceof BrokenConnection) return !error.final && !this.#closing.signal.aborted;
    if (!(error instanceof ReplyError) || !isPassing(error)) return false;
    if (error.code !== "LOADING" && error.code !== "BUSY") this.#connection?.close();
    return true;
  }

  async leader(): Promise<Leader | undefined> {
    try {
      return leaderIn(text(await (await this.#connected()).command(["GET", this.#keys.lease])));
    } catch (error) {
      throw this.#failure("cannot be read", error);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#renewal);
    // Also when the lease may have run out: the script looks whether another has it.
    const release = this.#epoch > 0 && this.#connection?.isBroken === false;
    this.#leaseUntil = 0;
    if (release) {
      const released = this.#run(this.#connection!, RELEASE, [String(this.#epoch), this.#token]);
      // The lease runs out by itself.
      await Promise.race([released, sleep(RELEASE_MS, undefined, { ref: false })]).catch(() => undefined);
    }
    this.#closing.abort();
    await this.#connecting?.catch(() => undefined);
    this.#connection?.close();
  }

  #failure(what: string, error: unknown): ControlStoreError {
    return redisFailure(this.place, what, error);
  }

  #error(reason: StoreFailure, what: string, why: string, todo: string): ControlStoreError {
    return storeError(this.place, reason, what, why, todo);
  }
}

/** The changes as COMMIT takes them. Of several changes to one entry the last counts, so that values can come before deletions. */
function wordsOf(changes: readonly Change[]): (string | Uint8Array)[] {
  const last = new Map<string, Uint8Array | undefined>();
  for (const { table, key, value } of changes) last.set(`${table}/${key}`, value);
  const values: (string | Uint8Array)[] = [];
  const deleted: string[] = [];
  for (const [field, value] of last) {
    if (value === undefined) deleted.push(field);
    else values.push(field, value);
  }
  return [String(values.length / 2), ...values, ...deleted];
}

function leaderIn(lease: string | undefined): Leader | undefined {
  const match = /^(\d+) \S+ ([^]*)$/.exec(lease ?? "");
  return match === null ? undefined : { epoch: Number(match[1]), holder: match[2]! };
}
