/** What needs no Redis: URLs, and replies that arrive in pieces. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { InvalidOptionError } from "../../src/errors/index.ts";
import { ReplyReader } from "../../src/runtime/stores/redis-replies.ts";
import type { Reply } from "../../src/runtime/stores/redis-replies.ts";
import { parseRedisUrl } from "../../src/runtime/stores/redis-url.ts";

test("URLs of Redis are taken apart, and shown without secrets", () => {
  const plain = parseRedisUrl("redis://host");
  assert.deepEqual(plain.hosts, [{ host: "host", port: 6379 }]);
  assert.deepEqual([plain.mode, plain.database, plain.replicas, plain.tls], ["single", 0, 0, undefined]);
  const full = parseRedisUrl("rediss://user:p%40ss%3A@h.example:7000/4?replicas=2&serverName=redis.example");
  assert.deepEqual(full.login, { user: "user", password: "p@ss:" });
  assert.deepEqual([full.database, full.replicas, full.tls?.serverName], [4, 2, "redis.example"]);
  assert.equal(full.shown, "rediss://h.example:7000/4");
  const sentinel = parseRedisUrl("redis+sentinel://:pw@s1,s2:26380,[::1]:1/main?sentinelUser=s");
  assert.deepEqual(sentinel.hosts, [
    { host: "s1", port: 26_379 },
    { host: "s2", port: 26_380 },
    { host: "::1", port: 1 },
  ]);
  assert.deepEqual([sentinel.master, sentinel.replicas, sentinel.login.password, sentinel.sentinelLogin.user], ["main", 1, "pw", "s"]);
  assert.equal(parseRedisUrl("rediss+cluster://a,b").mode, "cluster");
});

test("a wrong URL is refused without showing it", () => {
  const wrong = [
    "http://pw@host",
    "redis://",
    "redis://:pw@a,b",
    "redis://:pw@host/name",
    "redis://:pw@host:99999",
    "redis+sentinel://:pw@host",
    "redis+cluster://:pw@host/1",
    "redis://:pw%zz@host",
    "redis://:pw@host?replica=1",
    "redis://:pw@host?replicas=many",
    "redis://:pw@host?passwordFile=/nowhere/at/all",
    "redis://:pw/with/slash@host",
  ];
  for (const url of wrong) {
    assert.throws(
      () => parseRedisUrl(url),
      (error: unknown) => error instanceof InvalidOptionError && !/pw/.test(`${error.stack}${JSON.stringify(error)}`),
      url,
    );
  }
  assert.throws(() => parseRedisUrl("redis://host?replica=1"), /Did you mean "replicas"/);
});

function encode(reply: Reply): Buffer {
  if (reply === null) return Buffer.from("$-1\r\n");
  if (typeof reply === "number") return Buffer.from(`:${reply}\r\n`);
  if (typeof reply === "string") return Buffer.from(`+${reply}\r\n`);
  if (Buffer.isBuffer(reply)) return Buffer.concat([Buffer.from(`$${reply.length}\r\n`), reply, Buffer.from("\r\n")]);
  return Buffer.concat([Buffer.from(`*${reply.length}\r\n`), ...reply.map(encode)]);
}

const replies = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.integer(),
    fc.stringMatching(/^[a-zA-Z ]{0,20}$/),
    fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
    fc.array(tie("reply"), { maxLength: 5 }),
  ),
})).reply;

test("replies that are cut anywhere are read as they were sent", () => {
  fc.assert(
    fc.property(
      fc.array(replies, { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      (sent, cuts) => {
        const stream = Buffer.concat(sent.map(encode));
        const reader = new ReplyReader();
        const got: unknown[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = cuts[i % cuts.length]!;
          reader.push(stream.subarray(at, at + size));
          at += size;
          for (let whole = reader.next(); whole !== undefined; whole = reader.next()) got.push(whole.value);
        }
        assert.deepEqual(got, sent);
      },
    ),
    { numRuns: 500 },
  );
});

test("bytes that are no replies are refused, and never hang or crash", () => {
  for (const text of [
    "HTTP/1.1 400 Bad Request\r\n",
    "$5000000000\r\n",
    "*-2\r\n",
    ":x\r\n",
    "*1\r\n".repeat(40),
    "+".padEnd(70_000, "x"),
  ]) {
    const reader = new ReplyReader();
    reader.push(Buffer.from(text));
    assert.throws(() => reader.next());
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
      const reader = new ReplyReader();
      reader.push(Buffer.from(noise));
      try {
        while (reader.next() !== undefined);
      } catch (error) {
        assert.ok(error instanceof Error);
      }
    }),
    { numRuns: 2000 },
  );
});
