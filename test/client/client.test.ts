/**
 * The client of submitted jobs by itself: what it is made of, what it says of answers that are wrong, late or cut, and that it runs where
 * there is nothing of Node. Servers here answer what each test wants; test/jobs has the real one.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import vm from "node:vm";
import { JobClient, JobError, MobulaError } from "mobula/client";
import { leakChecked } from "../harness/index.ts";
import { filesBelow, importsOf, readText, root } from "../house/sources.ts";

leakChecked();

type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

/** Answers in turn, the last one for all that follow; what was asked is in `asked`. */
async function server(t: TestContext, ...answers: Answer[]): Promise<{ address: string; asked: string[]; close(): Promise<void> }> {
  const asked: string[] = [];
  const http = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      asked.push(`${request.method} ${request.url} ${request.headers.authorization}`);
      (answers.length > 1 ? answers.shift()! : answers[0]!)(request, response, Buffer.concat(parts));
    });
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const close = (): Promise<void> => {
    http.closeAllConnections();
    return new Promise((resolve) => void http.close(() => resolve()));
  };
  t.after(close);
  return { address: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, asked, close };
}

const json =
  (status: number, value: unknown): Answer =>
  (_request, response) =>
    void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
const refusal = (status: number, code: string, message: string, field?: string): Answer =>
  json(status, { error: { code, message, field } });

const isError =
  (expected: Partial<JobError>, message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof JobError && error instanceof MobulaError, String(error));
    assert.equal(error.code, "JOB_REQUEST_FAILED");
    for (const [key, value] of Object.entries(expected)) assert.equal(Reflect.get(error, key), value, key);
    assert.match(error.message, message);
    return true;
  };

test("nothing of the engine and nothing of Node is in it", () => {
  const files = filesBelow("src/client", /\.ts$/);
  assert.ok(files.length >= 4);
  // The shape of a job is the protocol's, in a file of types that imports nothing itself.
  for (const file of [...files, ...filesBelow("src/errors", /\.ts$/), "src/protocol/job.ts"]) {
    const foreign = importsOf(readText(file)).filter((name) => !/^\.\/|^\.\.\/(errors\/index|protocol\/job)\.ts$/.test(name));
    assert.deepEqual(foreign, [], file);
  }
});

test("bundled for browsers it submits and reads a log where there is nothing but what a page has", async (t) => {
  const { address, asked } = await server(
    t,
    json(201, { jobId: "j1", status: "PENDING" }),
    (_request, response) => void response.end("hello"),
    json(404, { error: { code: "NOT_FOUND", message: "There is no package." } }),
    (_request, response, body) =>
      json(201, { sha256: createHash("sha256").update(body).digest("hex"), size: body.byteLength })(_request, response, body),
  );
  const source = `
    import { JobClient } from "mobula/client";
    globalThis.result = (async () => {
      const client = new JobClient({ address, token: "secret" });
      const { jobId } = await client.submit({ entrypoint: "echo hello" });
      let log = "";
      for await (const text of client.logs(jobId, { follow: true })) log += text;
      return { jobId, log, uploaded: await client.upload(new Blob(["bytes"])) };
    })();`;
  // By its command: its API leaves a process.
  const bundle = execFileSync(path.join(root, "node_modules/.bin/esbuild"), ["--bundle", "--platform=browser", "--format=iife"], {
    input: source,
    cwd: root,
    encoding: "utf8",
  });
  const page = {
    address,
    ...{ fetch, URL, AbortController, AbortSignal, TextDecoder, ReadableStream, Blob, Response, setTimeout, clearTimeout },
    crypto: globalThis.crypto,
    result: undefined as Promise<unknown> | undefined,
  };
  // TypedArrays of the page's own realm would be no buffers to the global WebCrypto.
  vm.runInNewContext(bundle, Object.assign(page, { Uint8Array, ArrayBuffer }));
  const sha256 = createHash("sha256").update("bytes").digest("hex");
  assert.deepEqual(JSON.parse(JSON.stringify(await page.result)), { jobId: "j1", log: "hello", uploaded: { sha256, size: 5 } });
  assert.deepEqual(asked, [
    "POST /api/jobs Bearer secret",
    "GET /api/jobs/j1/logs?follow=1&offset=0 Bearer secret",
    `GET /api/packages/${sha256} Bearer secret`,
    `PUT /api/packages/${sha256} Bearer secret`,
  ]);
});

test("each refusal is a JobError with what the server said", async (t) => {
  const at = async (answer: Answer): Promise<JobClient> => new JobClient({ address: (await server(t, answer)).address, token: "t" });
  const submit = { entrypoint: "x" };
  await assert.rejects(
    (await at(refusal(401, "TOKEN_MISSING", "There is no token."))).list(),
    isError({ status: 401, reason: "TOKEN_MISSING" }, /There is no token\. .*mobula token/),
  );
  await assert.rejects(
    (await at(refusal(403, "TOKEN_WRONG", "The token is wrong."))).submit(submit),
    isError({ status: 403, reason: "TOKEN_WRONG" }, /^The token is wrong\. .*mobula token/),
  );
  await assert.rejects(
    (await at(refusal(404, "NOT_FOUND", "There is no job j."))).status("j"),
    isError({ status: 404, reason: "NOT_FOUND", jobId: "j" }, /no job j/),
  );
  await assert.rejects(
    (await at(refusal(413, "TOO_LARGE", "It is too large."))).submit(submit),
    isError({ status: 413, reason: "TOO_LARGE" }, /too large/),
  );
  await assert.rejects(
    (await at(refusal(422, "INVALID_BODY", "weight must be a number.", "weight"))).submit(submit),
    isError({ status: 422, reason: "INVALID_BODY", field: "weight" }, /weight must be/),
  );
  await assert.rejects(
    (await at((_request, response) => void response.writeHead(502).end("<html>proxy"))).list(),
    isError({ status: 502, reason: "NOT_MOBULA" }, /is not the HTTP API of mobula/),
  );
  await assert.rejects(
    (await at((_request, response) => void response.end("<html>a page"))).cluster(),
    isError({ status: 200, reason: "NOT_MOBULA" }, /Check the address/),
  );
});

test("who is not there, is late, or is cut off, is told in bounded time; an aborted wait has the signal's reason", async (t) => {
  const gone = await server(t, json(200, []));
  await gone.close();
  const client = new JobClient({ address: gone.address, token: "t" });
  await assert.rejects(client.list(), isError({ reason: "UNREACHABLE", address: gone.address }, /ECONNREFUSED.*mobula status/));
  await assert.rejects(client.logs("j", { follow: true }).next(), isError({ reason: "UNREACHABLE", jobId: "j" }, /cannot be reached/));
  const silent = await server(t, () => {});
  const hasty = new JobClient({ address: silent.address, timeoutMs: 50 });
  await assert.rejects(hasty.status("j"), isError({ reason: "TIMEOUT", jobId: "j" }, /within 50 ms/));
  const half = await server(t, (_request, response) => void response.writeHead(200, { "content-length": 100 }).write('{"a'));
  await assert.rejects(new JobClient({ address: half.address, timeoutMs: 50 }).status("j"), isError({ reason: "TIMEOUT" }, /50 ms/));
  const reason = new Error("enough");
  await assert.rejects(new JobClient({ address: silent.address }).list({ signal: AbortSignal.abort(reason) }), (error) => error === reason);
  const abort = new AbortController();
  const waiting = new JobClient({ address: silent.address }).wait("j", { signal: abort.signal });
  abort.abort(reason);
  await assert.rejects(waiting, (error) => error === reason);
  const running = await server(t, json(200, { jobId: "j", status: "RUNNING", endedAt: null }));
  await assert.rejects(
    new JobClient({ address: running.address }).wait("j", { timeoutMs: 20 }),
    isError({ reason: "TIMEOUT", jobId: "j" }, /Job j is RUNNING after 20 ms/),
  );
  for (const address of ["", "ftp://x:1", "http://", "http://u:p@h:1"]) {
    assert.throws(() => new JobClient({ address }), isError({ reason: "INVALID_ADDRESS" }, /cannot be used/));
  }
  const [plain] = [await server(t, json(200, []))];
  assert.deepEqual(await new JobClient({ address: plain.address.slice("http://".length) }).list({ limit: 3 }), []);
  assert.deepEqual(plain.asked, ["GET /api/jobs?limit=3 undefined"]);
});

test("a log that is cut while it is followed goes on where it was, in the middle of a character too", async (t) => {
  const bytes = Buffer.from("naïve\n");
  const cut = bytes.indexOf(0xc3) + 1;
  const { address, asked } = await server(
    t,
    (request, response) => {
      response.writeHead(200, { "content-type": "text/plain" });
      response.write(bytes.subarray(0, cut), () => setTimeout(() => request.socket.destroy(), 20));
    },
    refusal(503, "BUSY", "Control does not answer."),
    (_request, response) => void response.end(bytes.subarray(cut)),
  );
  const parts: string[] = [];
  for await (const text of new JobClient({ address, token: "t" }).logs("j", { follow: true })) parts.push(text);
  assert.deepEqual(parts, ["na", "ïve\n"]);
  assert.deepEqual(
    asked.map((line) => line.split(" ")[1]),
    ["/api/jobs/j/logs?follow=1&offset=0", `/api/jobs/j/logs?follow=1&offset=${cut}`, `/api/jobs/j/logs?follow=1&offset=${cut}`],
  );
});

test("who stops reading a log lets go of the connection", async (t) => {
  let closed = false;
  const { address } = await server(t, (_request, response) => {
    response.once("close", () => (closed = true));
    response.write("one\n");
  });
  for await (const text of new JobClient({ address }).logs("j", { follow: true })) {
    assert.equal(text, "one\n");
    break;
  }
  for (const until = Date.now() + 10_000; !closed && Date.now() < until;) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(closed);
});
