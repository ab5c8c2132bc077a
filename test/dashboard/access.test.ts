/** Who may do what over HTTP, for every route that is defined: the order of the checks, tokens, hosts, origins. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { routes } from "../../src/runtime/dashboard/routes.ts";
import type { Route } from "../../src/runtime/dashboard/routes.ts";
import { jobToken, Secret } from "../../src/runtime/network/index.ts";
import { leakChecked } from "../harness/index.ts";
import { aJob, JOB_ID, serve, TOKEN } from "./server.ts";

leakChecked();

const token = new Secret(TOKEN);
const all = Object.entries(routes) as [string, Route][];
const pathOf = ({ path }: Route): string => path.replace("{id}", JOB_ID).replace("{sha256}", "0".repeat(64));
const request = ({ method }: Route): RequestInit => ({
  method,
  ...(method === "GET" || method === "DELETE" ? {} : { body: "{}", headers: { "content-type": "application/json" } }),
});

async function ask(url: string, route: Route, headers: Record<string, string>): Promise<{ status: number; code: string }> {
  const init = request(route);
  const response = await fetch(url + pathOf(route), { ...init, headers: { ...(init.headers as object), ...headers } });
  const text = await response.text();
  const body = (text.startsWith("{") ? JSON.parse(text) : {}) as { error?: { code: string; message: string } };
  if (response.status >= 400) assert.equal(typeof body.error?.message, "string", text);
  return { status: response.status, code: body.error?.code ?? "" };
}

test("every route but those for everybody is refused without a token, with a wrong one, and with a foreign one", async (t) => {
  const { url, asked } = await serve(t, { answer: () => ({ kind: "not there" }) });
  let tried = 0;
  for (const [name, route] of all) {
    if (route.access === "everybody") {
      assert.deepEqual(await ask(url, route, {}), { status: 200, code: "" }, name);
      continue;
    }
    for (const [authorization, status, code] of [
      [undefined, 401, "TOKEN_MISSING"],
      ["", 401, "TOKEN_MISSING"],
      [`Basic ${TOKEN}`, 401, "TOKEN_MISSING"],
      [`Bearer ${TOKEN}x`, 403, "TOKEN_WRONG"],
      [`Bearer ${TOKEN.slice(0, -1)}`, 403, "TOKEN_WRONG"],
      // Of another cluster: its own, and that of a job there.
      [`Bearer ${Secret.random().expose()}`, 403, "TOKEN_WRONG"],
      [`Bearer ${jobToken(Secret.random(), JOB_ID).expose()}`, 403, "TOKEN_WRONG"],
    ] as const) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      assert.deepEqual(await ask(url, route, headers), { status, code }, `${name} with ${authorization}`);
      tried++;
    }
    assert.equal(asked.length, 0, "nothing was asked of control");
    // Of a job of this cluster that does not run any more.
    const over = await ask(url, route, { authorization: `Bearer ${jobToken(token, JOB_ID).expose()}` });
    assert.deepEqual(over, { status: 403, code: "TOKEN_WRONG" }, name);
    asked.length = 0;
  }
  assert.equal(tried, 7 * all.filter(([, { access }]) => access !== "everybody").length);
});

test("the token of another job opens what every job may see, and no more", async (t) => {
  const { url } = await serve(t, {
    answer: ({ kind, jobId }) => (kind === "status" ? {} : { kind: "job", job: aJob({ jobId: String(jobId) }) }),
  });
  const authorization = `Bearer ${jobToken(token, "job-fedcba9876543210").expose()}`;
  for (const [name, route] of all) {
    if (route.access === "everybody") continue;
    const { status, code } = await ask(url, route, { authorization });
    assert.deepEqual([status, code], route.access === "any job" ? [200, ""] : [403, "TOKEN_OF_JOB"], name);
  }
});

test("Host comes before Origin, and both before the token, on every route", async (t) => {
  const { port, raw } = await serve(t);
  for (const [name, route] of all) {
    for (const [lines, code] of [
      [["Host: evil.example"], "WRONG_HOST"],
      [[], "WRONG_HOST"],
      [["Host: evil.example", "Origin: http://evil.example"], "WRONG_HOST"],
      [[`Host: 127.0.0.1:${port}`, "Origin: http://evil.example"], "WRONG_ORIGIN"],
      [[`Host: head.example:${port}`, "Origin: null"], "WRONG_ORIGIN"],
      [[`Host: localhost:${port}`, "Sec-Fetch-Site: cross-site"], "WRONG_ORIGIN"],
    ] as const) {
      const head = [`${route.method} ${pathOf(route)} HTTP/1.1`, ...lines, `Authorization: Bearer ${TOKEN}`, "Connection: close", "", ""];
      const answer = await raw(head.join("\r\n"));
      assert.match(answer, new RegExp(`^HTTP/1.1 403 [^]*"${code}"`), `${name}: ${lines.join(", ")}`);
    }
  }
});

test("pages of an allowed origin may ask, after a preflight that needs no token; others see nothing", async (t) => {
  const { url } = await serve(t, { origins: ["https://app.example"], answer: () => [] });
  const preflight = async (origin: string): Promise<Response> =>
    await fetch(`${url}/api/jobs`, { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" } });
  const allowed = await preflight("https://app.example");
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers.get("access-control-allow-origin"), "https://app.example");
  assert.match(allowed.headers.get("access-control-allow-headers")!, /authorization/);
  const other = await preflight("https://app.example.evil.example");
  assert.equal(other.status, 403);
  assert.equal(other.headers.get("access-control-allow-origin"), null);
  const headers = { origin: "https://app.example", "sec-fetch-site": "cross-site" };
  const without = await fetch(`${url}/api/jobs`, { headers });
  assert.equal(without.status, 401);
  const listed = await fetch(`${url}/api/jobs`, { headers: { ...headers, authorization: `Bearer ${TOKEN}` } });
  assert.equal(listed.status, 200);
  assert.equal(listed.headers.get("access-control-allow-origin"), "https://app.example");
  assert.equal(listed.headers.get("vary"), "Origin");
  assert.equal((await fetch(`${url}/api/jobs`, { method: "OPTIONS", headers: { authorization: `Bearer ${TOKEN}` } })).status, 405);
});

test("what is not there is 404, another method 405 with those that there are; neither without a token", async (t) => {
  const { url } = await serve(t);
  const headers = { authorization: `Bearer ${TOKEN}` };
  const missing = await fetch(`${url}/api/nothing`, { headers });
  assert.equal(missing.status, 404);
  assert.match(await missing.text(), /openapi\.json/);
  assert.equal((await fetch(`${url}/api/nothing`)).status, 401);
  const wrong = await fetch(`${url}/api/jobs`, { method: "PATCH", headers });
  assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "POST, GET, HEAD"]);
  assert.equal((await fetch(`${url}/api/jobs/%2e%2e%2f`, { headers })).status, 404);
});

test("HEAD is GET without its body; what is no request, or is coded, is told as every refusal is", async (t) => {
  const { url, port, raw } = await serve(t, { answer: ({ kind }) => (kind === "jobs" ? [] : { kind: "job", job: aJob() }) });
  const headers = { authorization: `Bearer ${TOKEN}` };
  for (const path of ["/healthz", "/api/jobs", `/api/jobs/${JOB_ID}/logs?follow=1`]) {
    const response = await fetch(url + path, { method: "HEAD", headers });
    assert.equal(response.status, 200, path);
    assert.equal(await response.text(), "");
  }
  assert.equal((await fetch(`${url}/api/jobs`, { method: "HEAD", headers })).headers.get("content-length"), "3");
  assert.equal((await fetch(`${url}/api/jobs`, { method: "HEAD" })).status, 401);
  const coded = await fetch(`${url}/api/jobs`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json", "content-encoding": "gzip" },
    body: "{}",
  });
  assert.equal(coded.status, 415);
  for (const [bytes, status, code] of [
    ["\0garbage\r\n\r\n", 400, "NOT_HTTP"],
    [`GET /healthz HTTP/1.1\r\nHost: localhost:${port}\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, 431, "HEADERS_TOO_LARGE"],
  ] as const) {
    const [head, body] = (await raw(bytes)).split("\r\n\r\n");
    assert.match(head!, new RegExp(`^HTTP/1.1 ${status} .*\\r\\nContent-Length: ${body!.length}\\r\\n`, "s"));
    assert.equal((JSON.parse(body!) as { error: { code: string } }).error.code, code);
  }
});

test("/openapi.json describes every route, with what it takes and gives", async (t) => {
  const { url } = await serve(t);
  const response = await fetch(`${url}/openapi.json`, { headers: { authorization: `Bearer ${TOKEN}` } });
  interface Operation {
    readonly operationId: string;
    readonly security?: unknown[];
    readonly responses: Record<string, unknown>;
    readonly requestBody?: { content: Record<string, { schema: { required?: string[] } }> };
  }
  const api = (await response.json()) as { openapi: string; info: { version: string }; paths: Record<string, Record<string, Operation>> };
  assert.deepEqual([api.openapi, api.info.version], ["3.1.0", "1.2.3"]);
  for (const [name, route] of all) {
    const operation = api.paths[route.path]![route.method.toLowerCase()]!;
    assert.equal(operation.operationId, name);
    for (const status of [...Object.keys(route.answers), "403"]) assert.ok(status in operation.responses, `${name} ${status}`);
    assert.equal("401" in operation.responses, route.access !== "everybody", name);
  }
  assert.equal(Object.values(api.paths).flatMap((path) => Object.keys(path)).length, all.length);
  const { schema } = api.paths["/api/jobs"]!["post"]!.requestBody!.content["application/json"]!;
  assert.deepEqual(schema.required, ["entrypoint"]);
  const refs = JSON.stringify(api).match(/"#\/components\/schemas\/\w+"/g)!;
  for (const ref of new Set(refs))
    assert.ok(
      (JSON.parse(ref) as string)
        .slice(2)
        .split("/")
        .reduce<unknown>((at, key) => Reflect.get(at as object, key), api),
    );
});
