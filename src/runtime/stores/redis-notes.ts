/**
 * Single values beside the state of clusters in a Redis that several share, such as which cluster there is. They are no state: whoever
 * leads writes them again, and nothing compares a fence.
 */
import { redisFailure } from "./redis-failures.ts";
import { connectToMaster, text } from "./redis-locate.ts";
import type { Reply } from "./redis-replies.ts";
import { parseRedisUrl } from "./redis-url.ts";

const keyOf = (name: string): string => `mobula:note:${name}`;

export async function noteIn(url: string, name: string, value: string): Promise<void> {
  await once(url, name, "cannot be written", (key) => ["SET", key, value]);
}

/** Undefined when there is no such note. Rejects with ControlStoreError when Redis cannot be asked. */
export async function notedIn(url: string, name: string): Promise<string | undefined> {
  const reply = await once(url, name, "cannot be read", (key) => ["GET", key]);
  return reply === null ? undefined : text(reply);
}

async function once(url: string, name: string, what: string, words: (key: string) => string[]): Promise<Reply> {
  const place = parseRedisUrl(url);
  const key = keyOf(name);
  try {
    const connection = await connectToMaster(place, key);
    try {
      return await connection.command(words(key));
    } finally {
      connection.close();
    }
  } catch (error) {
    throw redisFailure(place.shown, what, error);
  }
}
