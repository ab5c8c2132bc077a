/** The daemon dies, or is fed what it does not understand: every wait ends typed, a new start works, nobody else is harmed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { leakChecked, runProgram } from "../harness/index.ts";

leakChecked();

test("when the daemon is killed every wait rejects, says what happened and what to do, and a new init works", async (t) => {
  const { code, stdout, stderr } = await runProgram(t, "test/chaos/programs/daemon-dies.ts", { timeoutMs: 120_000 });
  assert.equal(code, 0, stderr);
  const ends = new Map(
    stdout
      .split("\n")
      .map((line) => /^([^:]*): (.*)$/.exec(line) ?? [])
      .map(([, name, end]) => [name, end]),
  );
  for (const name of ["task", "actor", "queued", "stream", "later call", "later get"]) {
    assert.match(ends.get(name) ?? "", /^(ConnectionError|NodeDiedError): .*(node|cluster).*init\(\)/s, name);
  }
  assert.match(ends.get("wait")!, /3 are ready/);
  // As any call without init, it starts a cluster.
  assert.equal(ends.get("later question"), "ended well");
  assert.match(ends.get("task")!, /was killed by signal SIGKILL/);
  assert.equal(ends.get("anew"), "42");
});

test("garbage on the node's socket, and on a worker's, closes that connection and harms nothing else", async (t) => {
  const { code, stdout, stderr } = await runProgram(t, "test/chaos/programs/garbage.ts", { timeoutMs: 120_000 });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /all \d+ connections were closed, and all goes on/);
});
