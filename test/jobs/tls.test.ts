/** A cluster with TLS: its HTTP API speaks it too, for who knows the authority; and what a job is submitted with holds in its work. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import type { TestContext } from "node:test";
import { JobClient, JobError } from "../../src/client/index.ts";
import { secureFetch } from "../../src/cli/secure-fetch.ts";
import { Home } from "../cli/home.ts";
import { leakChecked } from "../harness/index.ts";
import type { Head } from "./api.ts";

const home = new Home({ after } as unknown as TestContext);
leakChecked("at the end");

const tlsDir = path.join(home.dir, "tls");
const made = home.run(["ca", "create", "--tls-dir", tlsDir]);
assert.equal(made.code, 0, made.stderr);
const start = ["start", "--head", "--port", "0", "--dashboard-port", "0", "--num-cpus", "2", "--tls-dir", tlsDir];
const head = home.json<Head>(...start);
const token = readFileSync(head.tokenFile, "utf8").trim();

test("the HTTP API is there by TLS alone, and a client that knows the authority submits, waits and reads", async () => {
  assert.match(head.dashboardUrl, /^https:/);
  const known = secureFetch(readFileSync(path.join(tlsDir, "ca.pem"), "utf8"));
  const client = new JobClient({ address: head.dashboardUrl, token, fetch: known });
  const { jobId } = await client.submit({ entrypoint: "echo sealed" });
  assert.equal((await client.wait(jobId)).status, "SUCCEEDED");
  assert.equal(await client.logs(jobId), "sealed\n");
  assert.deepEqual(
    (await client.list()).map((job) => job.jobId),
    [jobId],
  );
  const stranger = new JobClient({ address: head.dashboardUrl, token });
  await assert.rejects(stranger.list(), (error) => error instanceof JobError && /certificate/.test(error.message));
  const plain = new JobClient({ address: head.dashboardUrl.replace("https:", "http:"), token, timeoutMs: 10_000 });
  await assert.rejects(plain.list(), JobError);
  const wrong = new JobClient({ address: head.dashboardUrl, token: "another-token", fetch: known });
  await assert.rejects(wrong.list(), (error) => error instanceof JobError && error.status === 403);
});

test("submit goes by TLS, and the limit of its job on the store is that of the job's program", async () => {
  const program = `
    import * as ray from "mobula";
    await ray.init();
    const small = ray.put(new Uint8Array(1_000_000));
    console.log((await ray.get(small)).length);
    try {
      ray.put(new Uint8Array(8_000_000));
    } catch (error) {
      console.log(error.code, error.message);
    }
    await ray.shutdown();
  `;
  const words = ["submit", "--tls-dir", tlsDir, "--max-store", "4000000", "--", "node", "--input-type=module", "-e", program];
  const { code, stdout, stderr } = home.run(words);
  assert.equal(code, 0, stderr + stdout);
  assert.match(stdout, /^1000000\n/);
  assert.match(stdout, /^OBJECT_STORE_FULL .*within the limit of its job.*\(maxStore\)/m);
});
