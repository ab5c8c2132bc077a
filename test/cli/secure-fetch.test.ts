/** What commands ask a cluster's HTTP API by where it speaks TLS with an authority of its own. */
import assert from "node:assert/strict";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { JobClient, JobError } from "../../src/client/index.ts";
import { secureFetch } from "../../src/cli/secure-fetch.ts";
import { createAuthority, issueCertificate, loadTls } from "../../src/runtime/network/index.ts";
import { freshFolder, leakChecked } from "../harness/index.ts";

leakChecked();

test("requests, bodies that stream, refusals and logs go over it; without the authority nothing does", async (t) => {
  const folder = freshFolder(t);
  createAuthority(folder);
  issueCertificate(folder, { hosts: ["127.0.0.1"] });
  const tls = loadTls(folder);
  const server = createServer({ key: tls.key, cert: tls.cert }, (request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const { method, url = "", headers } = request;
      if (url.includes("/logs")) return void response.end("the log");
      const missing = method === "GET" && url.includes("/packages/");
      response.writeHead(missing ? 404 : 200, { "content-type": "application/json" });
      const error = { code: "NOT_FOUND", message: "There is none." };
      const text = Buffer.concat(parts).toString();
      response.end(JSON.stringify(missing ? { error } : { method, url, text, token: headers.authorization }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new JobClient({ address, token: "t", fetch: secureFetch(tls.ca) });
  const submitted: unknown = await client.submit({ entrypoint: "true" });
  assert.deepEqual(submitted, { method: "POST", url: "/api/jobs", text: '{"entrypoint":"true"}', token: "Bearer t" });
  const stream = new Blob(["some ", "bytes"]).stream() as ReadableStream<Uint8Array>;
  const uploaded: unknown = await client.upload(stream, { sha256: "abc" });
  assert.deepEqual(uploaded, { method: "PUT", url: "/api/packages/abc", text: "some bytes", token: "Bearer t" });
  let log = "";
  for await (const text of client.logs("j", { follow: true })) log += text;
  assert.equal(log, "the log");
  await assert.rejects(client.list({ signal: AbortSignal.abort(new Error("enough")) }), /enough/);
  await assert.rejects(
    new JobClient({ address, token: "t" }).list(),
    (error) => error instanceof JobError && error.reason === "UNREACHABLE" && /certificate.*--tls-dir/.test(error.message),
  );
});
