/** What requests may be: bodies with their fields, sizes and times; packages; logs whose readers stall. No cluster is started. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import type { Submission } from "../../src/core/control/jobs.ts";
import { LogWriter } from "../../src/runtime/jobs/log-parts.ts";
import { tarGzip, zip } from "../environments/archives.ts";
import { leakChecked, waitUntil } from "../harness/index.ts";
import { aJob, JOB_ID, serve, statusOf, TOKEN } from "./server.ts";

leakChecked();

const headers = { authorization: `Bearer ${TOKEN}` };
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
interface Refusal {
  readonly error: { readonly code: string; readonly message: string; readonly field?: string };
}

async function post(url: string, body: unknown, type = "application/json"): Promise<{ status: number; value: Refusal }> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(`${url}/api/jobs`, { method: "POST", headers: { ...headers, "content-type": type }, body: text });
  return { status: response.status, value: (await response.json()) as Refusal };
}

test("a bad body is 422 with the field named; nothing of it reaches control", async (t) => {
  const { url, asked } = await serve(t);
  const wrong: [unknown, string][] = [
    ["{", "body"],
    ["[".repeat(100_000), "body"],
    ["null", "body"],
    ["[]", "body"],
    [{}, "entrypoint"],
    [{ entrypoint: "" }, "entrypoint"],
    [{ entrypoint: "  " }, "entrypoint"],
    [{ entrypoint: "a\0b" }, "entrypoint"],
    [{ entrypoint: 7 }, "entrypoint"],
    [{ entrypoint: [] }, "entrypoint"],
    [{ entrypoint: [""] }, "entrypoint[0]"],
    [{ entrypoint: ["a", 1] }, "entrypoint[1]"],
    [{ entrypoint: ["a", "x".repeat(60_000), "y".repeat(60_000)] }, "entrypoint"],
    [{ entrypoint: "a", entryPoint: "b" }, "entryPoint"],
    [{ entrypoint: "a", priorty: 1 }, "priorty"],
    [{ entrypoint: "a", weight: 0 }, "weight"],
    [{ entrypoint: "a", weight: "1" }, "weight"],
    [{ entrypoint: "a", priority: 1e300 }, "priority"],
    [{ entrypoint: "a", maxCpus: -1 }, "maxCpus"],
    [{ entrypoint: "a", name: "x".repeat(257) }, "name"],
    [{ entrypoint: "a", metadata: { a: 1 } }, "metadata.a"],
    [`{"entrypoint":"a","metadata":{"__proto__":"x"}}`, "metadata"],
    [`{"entrypoint":"a","__proto__":{"weight":2}}`, "__proto__"],
    [{ entrypoint: "a", runtimeEnv: "x" }, "runtimeEnv"],
    [{ entrypoint: "a", runtimeEnv: { pip: [] } }, "runtimeEnv.pip"],
    [{ entrypoint: "a", runtimeEnv: { workingDir: "./here" } }, "runtimeEnv.workingDir"],
    [{ entrypoint: "a", runtimeEnv: { workingDir: "0".repeat(64) } }, "runtimeEnv.workingDir"],
    [{ entrypoint: "a", runtimeEnv: { npm: "all" } }, "runtimeEnv.npm"],
    [{ entrypoint: "a", runtimeEnv: { npm: "lock" } }, "runtimeEnv.npm"],
    [{ entrypoint: "a", runtimeEnv: { npm: ["--registry=http://x"] } }, "runtimeEnv.npm[0]"],
    [{ entrypoint: "a", runtimeEnv: { npm: ["ms", "./local.tgz"] } }, "runtimeEnv.npm[1]"],
    [{ entrypoint: "a", runtimeEnv: { npm: [{ file: "../x", hash: "0".repeat(64) }] } }, "runtimeEnv.npm[0].file"],
    [{ entrypoint: "a", runtimeEnv: { npm: [{ file: "x.tgz", hash: "0".repeat(64) }] } }, "runtimeEnv.npm[0].hash"],
    [{ entrypoint: "a", runtimeEnv: { envVars: { "A=B": "x" } } }, "runtimeEnv.envVars"],
    [{ entrypoint: "a", runtimeEnv: { envVars: { A: 1 } } }, "runtimeEnv.envVars.A"],
  ];
  for (const [body, field] of wrong) {
    const { status, value } = await post(url, body);
    const told = JSON.stringify([typeof body === "string" ? body.slice(0, 60) : body, value]);
    assert.deepEqual([status, value.error.code, value.error.field], [422, "INVALID_BODY", field], told);
    // A sentence that can be shown as it is.
    assert.match(value.error.message, /[.?]$/, told);
  }
  assert.match((await post(url, { entrypoint: "a", priorty: 1 })).value.error.message, /Did you mean priority\?/);
  assert.match((await post(url, { entrypoint: "a", weight: -1 })).value.error.message, /^weight must be a number above 0/);
  assert.deepEqual(asked, []);
  assert.equal(({} as { weight?: number }).weight, undefined);
});

test("a good body becomes a submission, with what it leaves out filled in", async (t) => {
  const { url, asked } = await serve(t);
  const { status } = await post(url, {
    entrypoint: ["a", "b c"],
    runtimeEnv: { envVars: { A: "1" }, npm: ["ms@2", "@scope/x@^1"], setup: "./setup.mjs", excludes: ["data"] },
    metadata: { k: "v" },
    maxStore: 5,
    name: null,
  });
  assert.equal(status, 201);
  const { submission, kind } = asked[0] as unknown as { submission: Submission; kind: string };
  assert.equal(kind, "jobSubmit");
  const { environment, ...rest } = submission;
  const expected = {
    entrypoint: ["a", "b c"],
    shell: false,
    weight: 1,
    priority: 0,
    metadata: { k: "v" },
    maxStore: 5,
    envVars: { A: "1" },
  };
  assert.deepEqual(JSON.parse(JSON.stringify(rest)), expected);
  assert.deepEqual(JSON.parse(environment!), {
    npm: { packages: ["@scope/x@^1", "ms@2"], scripts: false },
    setup: { module: "./setup.mjs" },
  });
});

test("a body of another type is 415, a large one 413, whether it says so or not", async (t) => {
  const { url, port, raw } = await serve(t, { limits: { jsonBytes: 10_000 } });
  for (const type of ["text/plain", "", "application/json; charset=latin1", "application/x-www-form-urlencoded", "multipart/form-data"]) {
    assert.equal((await post(url, { entrypoint: "a" }, type)).status, 415, type);
  }
  assert.equal((await post(url, { entrypoint: "a" }, "application/json; charset=UTF-8")).status, 201);
  const { status, value } = await post(url, { entrypoint: "x".repeat(20_000) });
  assert.deepEqual([status, value.error.code], [413, "TOO_LARGE"]);
  const head = `POST /api/jobs HTTP/1.1\r\nHost: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/json\r\n`;
  const chunk = `1000\r\n${"x".repeat(0x1000)}\r\n`;
  assert.equal(statusOf(await raw(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(4)}0\r\n\r\n`)), 413);
  // One that asks first does not send it at all.
  const asks = await raw(`${head}Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n`);
  assert.equal(statusOf(asks), 413);
  const wrongToken = head.replace(TOKEN, "wrong");
  assert.equal(statusOf(await raw(`${wrongToken}Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n`)), 403);
});

test("headers that are slow, long or wrong, and bodies that stop, cost a moment and no more; the server goes on", async (t) => {
  const limits = { headersMs: 300, jsonMs: 300, stallMs: 300, lingerMs: 300 };
  const { url, port, raw, asked } = await serve(t, { limits });
  const authorised = `Host: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n`;
  const start = `POST /api/jobs HTTP/1.1\r\n${authorised}Content-Type: application/json\r\n`;
  const put = `PUT /api/packages/${"0".repeat(64)} HTTP/1.1\r\nHost: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n`;
  const began = Date.now();
  const answers = await Promise.all([
    raw("GET /api/jobs HTTP/1.1\r\nHost: localhost\r\nX"),
    raw(`GET /api/jobs HTTP/1.1\r\nHost: localhost\r\nX: ${"y".repeat(20_000)}\r\n\r\n`),
    raw("NONSENSE\r\n\r\n"),
    raw(Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc])),
    raw(`${start}Content-Length: 100\r\n\r\n{"entry`),
    raw(`${put}Content-Length: 100\r\n\r\nPK`),
    raw(`GET /api/jobs HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n`),
    raw(`${start}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  ]);
  assert.deepEqual(answers.slice(0, 4).map(statusOf), [408, 431, 400, 400]);
  for (const answer of answers) assert.ok(!answer.startsWith("HTTP/1.1 2"), answer);
  assert.ok(Date.now() - began < 20_000);
  // Cut off in the middle: the socket is closed by its owner.
  for (const text of [`${start}Content-Length: 100\r\n\r\n{"entry`, `${put}Content-Length: 100\r\n\r\nPK`, "GET /"]) {
    const socket = net.connect(port, "127.0.0.1", () => socket.write(text, () => socket.destroy()));
    await new Promise((resolve) => socket.on("close", resolve));
  }
  assert.equal((await post(url, { entrypoint: "a" })).status, 201);
  assert.equal(asked.length, 1);
});

test("a package is stored under its hash once, from a zip or a tar.gz; what is wrong with one is said, and not kept", async (t) => {
  const { url, folder } = await serve(t);
  const put = async (bytes: Uint8Array, name = sha256(bytes), type = "application/octet-stream") => {
    const response = await fetch(`${url}/api/packages/${name}`, {
      method: "PUT",
      headers: { ...headers, "content-type": type },
      body: bytes as Uint8Array<ArrayBuffer>,
    });
    return { status: response.status, value: (await response.json()) as Refusal & { sha256: string; size: number } };
  };
  const good = zip([{ path: "a.txt", content: "hello" }]);
  const goodTar = tarGzip([{ path: "a.txt", content: "hello" }]);
  assert.deepEqual(await put(good), { status: 201, value: { sha256: sha256(good), size: good.byteLength } });
  assert.equal((await put(good, undefined, "application/zip")).status, 200);
  assert.equal((await put(goodTar, undefined, "application/gzip")).status, 201);
  const found = await fetch(`${url}/api/packages/${sha256(good)}`, { headers });
  assert.deepEqual([found.status, await found.json()], [200, { sha256: sha256(good), size: good.byteLength }]);
  assert.equal((await fetch(`${url}/api/packages/${"1".repeat(64)}`, { headers })).status, 404);

  const wrong: [Uint8Array, string | undefined, number, string, string | undefined][] = [
    [good, "2".repeat(64), 422, "HASH_MISMATCH", "sha256"],
    [good, "nonsense", 422, "INVALID_BODY", "sha256"],
    [Buffer.from("neither"), undefined, 422, "INVALID_PACKAGE", "body"],
    [goodTar.subarray(0, 40), undefined, 422, "INVALID_PACKAGE", "body"],
    [good.subarray(0, good.byteLength - 8), undefined, 422, "INVALID_PACKAGE", "body"],
    [tarGzip([{ path: "../out", content: "x" }]), undefined, 422, "INVALID_PACKAGE", "body"],
    [tarGzip([{ path: "/etc/out", content: "x" }]), undefined, 422, "INVALID_PACKAGE", "body"],
    [tarGzip([{ path: "l", type: "2", target: "../../out" }]), undefined, 422, "INVALID_PACKAGE", "body"],
    [zip([{ path: "a/../../out", content: "x" }]), undefined, 422, "INVALID_PACKAGE", "body"],
    [tarGzip([{ path: "bomb", content: Buffer.alloc(64 * 2 ** 20) }]), undefined, 413, "TOO_LARGE", undefined],
    [tarGzip([{ path: "large", size: 501 * 2 ** 20 }]), undefined, 413, "TOO_LARGE", undefined],
  ];
  for (const [bytes, name, status, code, field] of wrong) {
    const { status: got, value } = await put(bytes, name);
    assert.deepEqual([got, value.error.code, value.error.field], [status, code, field], JSON.stringify(value));
  }
  assert.equal((await put(good, undefined, "text/html")).status, 415);
  const declared = await fetch(`${url}/api/packages/${"3".repeat(64)}`, {
    method: "PUT",
    headers: { ...headers, "content-type": "application/zip" },
    body: new Blob([new Uint8Array(1)]).stream(),
    duplex: "half",
  } as RequestInit);
  assert.equal(declared.status, 422);
  assert.deepEqual(readdirSync(path.join(folder, "packages")).sort(), [sha256(good), sha256(goodTar)].sort());
});

test("a package that says it is larger than 500 MiB is refused before it is sent; one that is cut off leaves nothing", async (t) => {
  const { port, raw, folder } = await serve(t);
  const start = `PUT /api/packages/${"4".repeat(64)} HTTP/1.1\r\nHost: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n`;
  assert.equal(statusOf(await raw(`${start}Content-Length: ${500 * 2 ** 20 + 1}\r\n\r\n`)), 413);
  const socket = net.connect(port, "127.0.0.1", () => socket.write(`${start}Content-Length: 1000000\r\n\r\nPK${"x".repeat(5000)}`));
  const packages = path.join(folder, "packages");
  const drafts = (): number => (existsSync(packages) ? readdirSync(packages).length : 0);
  await waitUntil(() => drafts() === 1, "it is being written");
  socket.destroy();
  await waitUntil(() => drafts() === 0, "nothing is left of it");
});

test("a log is read in parts; its middle may be gone; one who follows and takes nothing is let go", async (t) => {
  const { url, port, folder } = await serve(t, { limits: { stallMs: 300, readers: 1 } });
  const log = path.join(folder, "jobs", JOB_ID, "log");
  const writer = new LogWriter(log, { partBytes: 100, parts: 3 });
  for (let i = 0; i < 50; i++) await writer.write(Buffer.from(`line ${String(i).padStart(4, "0")}\n`));
  await writer.close();
  assert.equal(readdirSync(log).length, 3);
  const get = async (query: string): Promise<string> => await (await fetch(`${url}/api/jobs/${JOB_ID}/logs${query}`, { headers })).text();
  const whole = await get("");
  assert.match(whole, /^line 0000\n[^]*\[mobula: \d+ bytes of the log are not kept\]\n[^]*line 0049\n$/);
  assert.equal(await get("?offset=480"), "line 0048\nline 0049\n");
  assert.equal(await get("?offset=500"), "");
  assert.equal(await get("?offset=9999"), "");
  for (const query of ["?offset=-1", "?offset=x", "?follow=2", "?tail=1"]) {
    const response = await fetch(`${url}/api/jobs/${JOB_ID}/logs${query}`, { headers });
    assert.equal(response.status, 422, query);
    assert.equal(((await response.json()) as Refusal).error.field, query.slice(1, query.indexOf("=")));
  }

  await mkdir(log, { recursive: true });
  await writeFile(path.join(log, "0000000000000500.log"), Buffer.alloc(64 * 2 ** 20, "x"));
  const socket = net.connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  socket.write(`GET /api/jobs/${JOB_ID}/logs?follow=1 HTTP/1.1\r\nHost: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`);
  socket.on("error", () => {});
  let bytes = 0;
  // It reads what comes first, and nothing after that.
  await new Promise<void>((resolve) => {
    socket.on("data", (part: Buffer) => {
      if (bytes === 0) socket.pause();
      bytes += part.byteLength;
      resolve();
    });
  });
  const other = async (): Promise<number> => (await fetch(`${url}/api/jobs/${JOB_ID}/logs?offset=99999999`, { headers })).status;
  await waitUntil(async () => (await other()) === 200, "who took nothing was let go, and another has the place");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.resume();
  await closed;
  assert.ok(bytes < 64 * 2 ** 20, "it was cut");
});

test("a log of a job that has ended is whole, however late that is known", async (t) => {
  let status: "RUNNING" | "SUCCEEDED" = "RUNNING";
  let waits = 0;
  const ended = { resolve: () => {} };
  const over = new Promise<void>((resolve) => (ended.resolve = resolve));
  const { url, folder } = await serve(t, {
    answer: ({ known }) => {
      if (known !== undefined) {
        waits++;
        return over.then(() => ({ kind: "job", job: aJob({ status }) }));
      }
      return { kind: "job", job: aJob({ status }) };
    },
  });
  const writer = new LogWriter(path.join(folder, "jobs", JOB_ID, "log"));
  const reading = Promise.all([0, 1, 2].map(() => fetch(`${url}/api/jobs/${JOB_ID}/logs?follow=1`, { headers }).then((r) => r.text())));
  await waitUntil(() => waits > 0, "the log is followed");
  await writer.write(Buffer.from("first\n"));
  status = "SUCCEEDED";
  await writer.write(Buffer.from("last\n"));
  await writer.close();
  ended.resolve();
  assert.deepEqual(await reading, ["first\nlast\n", "first\nlast\n", "first\nlast\n"]);
  assert.equal(waits, 1, "all of them ask once");
});

test("a fault of ours is told without its insides, which go to the log", async (t) => {
  const { url, logged } = await serve(t, {
    answer: () => {
      throw new Error("secret insides");
    },
  });
  const response = await fetch(`${url}/api/jobs`, { headers });
  assert.equal(response.status, 500);
  assert.ok(!(await response.text()).includes("insides"));
  assert.match(logged.join(), /secret insides/);
});
