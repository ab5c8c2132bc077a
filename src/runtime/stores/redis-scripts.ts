/**
 * What happens inside Redis, each in one atomic step. The keys of one cluster have one hash tag, so that they lie together:
 *
 *   fence   "EPOCH TOKEN SEQUENCE": the last leader that there was, and how many commits there were. It never runs out.
 *   lease   "EPOCH TOKEN HOLDER", runs out when its holder does not renew it: only for who waits to lead.
 *   state   a hash: "table/key" to value
 *
 * Every write compares the fence, so that an old leader cannot write after a new one, whatever its clock says.
 */
import { createHash } from "node:crypto";

export interface Script {
  readonly text: string;
  readonly sha: string;
}

const script = (text: string): Script => ({ text, sha: createHash("sha1").update(text).digest("hex") });

/** Takes apart the fence, and answers when it is not that of ARGV[1] ARGV[2]. */
const FENCE = `
local fence = redis.call('GET', KEYS[1])
if not fence then return {'gone'} end
local epoch, token, sequence = string.match(fence, '^(%d+) (%S+) (%d+)$')
if epoch ~= ARGV[1] or token ~= ARGV[2] then return {'fenced', redis.call('GET', KEYS[2]) or ''} end
sequence = tonumber(sequence)
`;
const RENEW_LEASE = `redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[5], 'PX', ARGV[4])
`;

/** ARGV: token, lease in ms, holder. Gives `taken` and the lease, or `ok`, epoch and sequence. Repeating it is harmless. */
export const ACQUIRE = script(`
local lease = redis.call('GET', KEYS[2])
local fence = redis.call('GET', KEYS[1])
local epoch, token, sequence = 0, '', 0
if fence then epoch, token, sequence = string.match(fence, '^(%d+) (%S+) (%d+)$') end
if fence and not epoch then return {'gone'} end
if not fence and redis.call('EXISTS', KEYS[3]) == 1 then return {'gone'} end
if lease and token ~= ARGV[1] then return {'taken', lease} end
if token ~= ARGV[1] then epoch = epoch + 1 end
redis.call('SET', KEYS[1], string.format('%d %s %d', epoch, ARGV[1], sequence))
redis.call('SET', KEYS[2], string.format('%d %s %s', epoch, ARGV[1], ARGV[3]), 'PX', ARGV[2])
return {'ok', tostring(epoch), tostring(sequence)}
`);

/** ARGV: epoch, token, sequence, lease in ms, holder. Writes nothing but the lease. */
export const RENEW = script(`${FENCE}
if sequence < tonumber(ARGV[3]) then return {'rolled-back', tostring(sequence)} end
${RENEW_LEASE}
return {'ok'}
`);

/**
 * ARGV: epoch, token, sequence after this commit, lease in ms, holder, number of values, then field and value of each, then
 * fields to delete. A commit that is already there is not written again.
 */
export const COMMIT = script(`${FENCE}
local after = tonumber(ARGV[3])
if sequence ~= after then
  if sequence ~= after - 1 then return {'rolled-back', tostring(sequence)} end
  local at = 7
  for i = 1, tonumber(ARGV[6]) do
    redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  for i = at, #ARGV do redis.call('HDEL', KEYS[3], ARGV[i]) end
  redis.call('SET', KEYS[1], string.format('%d %s %d', epoch, token, after))
end
${RENEW_LEASE}
return {'ok'}
`);

/** ARGV: epoch, token. Lets the next one lead at once. */
export const RELEASE = script(`${FENCE}
redis.call('DEL', KEYS[2])
return {'ok'}
`);
