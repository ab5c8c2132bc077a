/**
 * No crash, no hang, no fault of ours, whatever comes over HTTP: requests with bytes changed, cut and joined, and bodies with any fields.
 * Inputs here: FUZZ_INPUTS, or a tenth of a million, as in test/network; of them requests over sockets: FUZZ_REQUESTS, or a hundredth.
 * FUZZ_SEED gives a run again.
 */
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { Rng } from "../../sim/rng.ts";
import { BadField } from "../../src/runtime/dashboard/fields.ts";
import { findRoute, routes, submitBody } from "../../src/runtime/dashboard/routes.ts";
import type { Route } from "../../src/runtime/dashboard/routes.ts";
import { leakChecked } from "../harness/index.ts";
import { mutated } from "../network/mutations.ts";
import { JOB_ID, serve, TOKEN } from "./server.ts";

leakChecked();

const inputs = Number(process.env["FUZZ_INPUTS"] ?? 100_000);
const requested = Number(process.env["FUZZ_REQUESTS"] ?? inputs / 100);
const seed = process.env["FUZZ_SEED"] ?? "fuzz";

const VALUES = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  "",
  "a",
  "a\0b",
  "__proto__",
  "x".repeat(5000),
  [],
  {},
  ["a"],
  [1],
  { a: "b" },
  { a: 1 },
  "0".repeat(64),
  "lock",
];
const NAMES = [
  ...["entrypoint", "runtimeEnv", "name", "metadata", "weight", "priority", "maxCpus", "maxMemory", "maxStore"],
  ...["workingDir", "excludes", "envVars", "npm", "npmScripts", "setup", "__proto__", "constructor", "file", "hash"],
];

function anything(rng: Rng, depth: number): unknown {
  if (depth > 3 || rng.int(0, 2) > 0) return VALUES[rng.int(0, VALUES.length - 1)];
  if (rng.int(0, 3) === 0) return Array.from({ length: rng.int(0, 3) }, () => anything(rng, depth + 1));
  // As JSON makes it: a name may be __proto__.
  const fields = Array.from({ length: rng.int(0, 4) }, () => {
    const name = NAMES[rng.int(0, NAMES.length - 1)]!;
    return `${JSON.stringify(name)}:${JSON.stringify(anything(rng, depth + 1) ?? null)}`;
  });
  return JSON.parse(`{${fields.join(",")}}`);
}

test("bodies: each is taken or refused with a field of its own named", () => {
  const rng = new Rng(`${seed} bodies`);
  let taken = 0;
  for (let n = 0; n < inputs / 10; n++) {
    const body = { ...(rng.int(0, 1) === 0 ? { entrypoint: "true" } : {}), ...(anything(rng, 0) as object) };
    try {
      const checked = submitBody.check(body, "");
      assert.ok(checked.entrypoint.length > 0);
      taken++;
    } catch (error) {
      assert.ok(error instanceof BadField, `seed ${seed}, number ${n}: ${JSON.stringify(body)}: ${String(error)}`);
      assert.ok(error.at !== "" && error.message.length < 10_000);
    }
  }
  assert.ok(taken > 0);
  assert.deepEqual(Object.getOwnPropertyNames({}), []);
});

test("paths: each leads to a route, or to none", () => {
  const rng = new Rng(`${seed} paths`);
  const paths = Object.values(routes).map(({ path }) => path);
  for (let n = 0; n < inputs / 5; n++) {
    const path = mutated(rng, Buffer.from(paths[rng.int(0, paths.length - 1)]!)).toString("latin1");
    const found = findRoute("GET", path);
    assert.ok("route" in found || Array.isArray(found.allowed));
  }
});

/** Right requests of every route. */
function requests(port: number): Buffer[] {
  const head = `Host: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n`;
  return (Object.values(routes) as Route[]).map(({ method, path, body }) => {
    const target = path.replace("{id}", JOB_ID).replace("{sha256}", "0".repeat(64));
    const json = JSON.stringify({ entrypoint: "true", metadata: { a: "b" } });
    const sent =
      body === undefined
        ? ""
        : `Content-Type: application/${body === "package" ? "zip" : "json"}\r\nContent-Length: ${json.length}\r\n\r\n${json}`;
    return Buffer.from(`${method} ${target} HTTP/1.1\r\n${head}${sent === "" ? "\r\n" : sent}`);
  });
}

/** Many at a time over connections of their own, as a mutated request may take its connection with it. */
const AT_ONCE = 500;
const TOLD_EVERY = 100_000;

async function send(port: number, bytes: Uint8Array): Promise<string> {
  return await new Promise((resolve, reject) => {
    let text = "";
    const socket = net.connect(port, "127.0.0.1", () => socket.end(bytes));
    const hang = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no end of the connection within 60 s: seed ${seed}: ${Buffer.from(bytes).toString("latin1")}`));
    }, 60_000);
    socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(hang);
      resolve(text);
    });
  });
}

test("requests: each is answered or cut off, none is a fault of the server, it goes on, and its memory is flat", async (t) => {
  const limits = { headersMs: 1_000, jsonMs: 1_000, stallMs: 1_000, lingerMs: 200 };
  const kinds = new Set<string>();
  const answer = ({ kind }: { kind: string }): unknown => {
    kinds.add(kind);
    return kind === "jobs" ? [] : { kind: "not there" };
  };
  const { port, url, asked, logged } = await serve(t, { limits, answer });
  const right = requests(port);
  const rng = new Rng(`${seed} requests`);
  const statuses = new Map<string, number>();
  const heaps: number[] = [];
  let sent = 0;
  const sendOn = async (): Promise<void> => {
    while (sent < requested) {
      if (++sent % TOLD_EVERY === 0) heaps.push(told(t, sent, statuses));
      const bytes = mutated(rng, right[rng.int(0, right.length - 1)]!);
      const text = await send(port, bytes);
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? "none";
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      assert.notEqual(status, "500", `seed ${seed}: ${bytes.toString("latin1")}\n${text}\n${logged.join("\n")}`);
      // Kept by the test, not by the server.
      asked.length = 0;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, sendOn));
  assert.deepEqual(
    [...kinds].filter((kind) => !["status", "jobs", "job", "jobSubmit", "jobStop", "jobRemove"].includes(kind)),
    [],
  );
  assert.deepEqual(logged, []);
  assert.equal((await fetch(`${url}/api/jobs`, { headers: { authorization: `Bearer ${TOKEN}` } })).status, 200);
  if (heaps.length > 2) assert.ok(heaps.at(-1)! < heaps[0]! + HEAP_GROWTH, `the heap grows: ${heaps.join(", ")} MiB`);
});

const HEAP_GROWTH = 32;

/** In MiB, of the server and this test together, after all that is garbage is gone where Node lets it. */
function told(t: { diagnostic(text: string): void }, sent: number, statuses: ReadonlyMap<string, number>): number {
  globalThis.gc?.();
  const { heapUsed, rss } = process.memoryUsage();
  const [heap, all] = [heapUsed, rss].map((bytes) => Math.round(bytes / 2 ** 20)) as [number, number];
  t.diagnostic(`${sent} requests: heap ${heap} MiB, resident ${all} MiB; ${JSON.stringify(Object.fromEntries([...statuses].sort()))}`);
  return heap;
}
