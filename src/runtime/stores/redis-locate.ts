/** Finds the Redis that takes writes now: the one of the URL, the one that the sentinels name, or the cluster's node for a key. */
import { BrokenConnection, RedisConnection } from "./redis-connection.ts";
import type { ConnectOptions } from "./redis-connection.ts";
import type { Reply } from "./redis-replies.ts";
import type { Host, RedisPlace } from "./redis-url.ts";

const CONNECT_MS = 1500;
const REPLY_MS = 5000;

/** A connection to the master. Rejects with the last error when no host of the URL leads to one. */
export async function connectToMaster(place: RedisPlace, key: string): Promise<RedisConnection> {
  if (place.mode === "single") return RedisConnection.connect(optionsFor(place, place.hosts[0]!));
  const errors: unknown[] = [];
  for (const host of place.hosts) {
    try {
      const master = place.mode === "sentinel" ? await askSentinel(place, host) : await askCluster(place, host, key);
      const connection = await RedisConnection.connect(optionsFor(place, master));
      if (await isMaster(connection)) return connection;
      connection.close();
      errors.push(new BrokenConnection(`${master.host}:${master.port} is not a master any more`));
    } catch (error) {
      errors.push(error);
    }
  }
  throw errors.at(-1);
}

function optionsFor(place: RedisPlace, host: Host): ConnectOptions {
  return { ...host, login: place.login, tls: place.tls, database: place.database, connectMs: CONNECT_MS, replyMs: REPLY_MS };
}

/** A sentinel tells of a fail-over before the old master knows. */
async function isMaster(connection: RedisConnection): Promise<boolean> {
  const reply = await connection.command(["ROLE"]);
  return Array.isArray(reply) && text(reply[0]) === "master";
}

async function askSentinel(place: RedisPlace, host: Host): Promise<Host> {
  const sentinel = await RedisConnection.connect({ ...optionsFor(place, host), login: place.sentinelLogin, database: 0 });
  try {
    const reply = await sentinel.command(["SENTINEL", "get-master-addr-by-name", place.master]);
    if (!Array.isArray(reply)) throw new BrokenConnection(`the sentinel ${host.host}:${host.port} does not know ${place.master}`);
    return { host: text(reply[0]), port: Number(text(reply[1])) };
  } finally {
    sentinel.close();
  }
}

async function askCluster(place: RedisPlace, host: Host, key: string): Promise<Host> {
  const node = await RedisConnection.connect(optionsFor(place, host));
  try {
    const slot = Number(await node.command(["CLUSTER", "KEYSLOT", key]));
    const ranges = (await node.command(["CLUSTER", "SLOTS"])) as Reply[][];
    const range = ranges.find(([from, to]) => Number(from) <= slot && slot <= Number(to));
    if (range === undefined) throw new BrokenConnection(`no node of the Redis Cluster has slot ${slot}`);
    const [address, port] = range[2] as Reply[];
    // A node that does not know its own address yet leaves it empty.
    return { host: text(address) === "" ? host.host : text(address), port: Number(port) };
  } finally {
    node.close();
  }
}

export const text = (reply: Reply | undefined): string => (reply === null || reply === undefined ? "" : String(reply));
