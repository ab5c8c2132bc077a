/** Settings of a Redis under which a promise of the store does not hold. Where they may not be read, nothing is said. */
import { ReplyError } from "./redis-connection.ts";
import type { RedisConnection } from "./redis-connection.ts";
import type { Reply } from "./redis-replies.ts";
import type { RedisPlace } from "./redis-url.ts";

export async function settingsToWarnOf(connection: RedisConnection, place: RedisPlace): Promise<string[]> {
  const setting = async (name: string): Promise<string | undefined> => {
    try {
      const reply = await connection.command(["CONFIG", "GET", name]);
      return Array.isArray(reply) && reply.length === 2 ? String(reply[1] as Reply) : undefined;
    } catch (error) {
      if (error instanceof ReplyError) return undefined; // Hosted services do not show their settings.
      throw error;
    }
  };
  const [appendonly, appendfsync, policy] = await Promise.all([setting("appendonly"), setting("appendfsync"), setting("maxmemory-policy")]);
  const warnings: string[] = [];
  if (appendonly === "no") {
    warnings.push(
      `${place.shown} has appendonly no: when Redis ends, the state of the cluster may be lost. Set appendonly yes, appendfsync always.`,
    );
  } else if (appendfsync !== undefined && appendfsync !== "always") {
    warnings.push(`${place.shown} has appendfsync ${appendfsync}: a crash of it may lose the last writes. Set appendfsync always.`);
  }
  if (policy?.startsWith("allkeys") === true) {
    warnings.push(`${place.shown} has maxmemory-policy ${policy}: it may evict the state of the cluster. Set noeviction.`);
  }
  return warnings;
}
