/** The daemon as a process: what it tells of its workers' ends and output, and that nothing is left after its own. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { DaemonHarness, processesOf } from "./daemon-harness.ts";

const LIMIT = { timeout: 60_000 };

async function withDaemon(use: (daemon: DaemonHarness) => Promise<void>, ...how: Parameters<typeof DaemonHarness.start>): Promise<void> {
  const daemon = await DaemonHarness.start(...how);
  try {
    await use(daemon);
  } finally {
    await daemon.cleanUp();
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

async function eventually(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!holds()) {
    if (Date.now() > end) assert.fail(what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("a worker's end is told with its reason and last words", LIMIT, () =>
  withDaemon(async (daemon) => {
    const cases: [string, { cause: string; message: RegExp; exitCode?: number; signal?: string }][] = [
      ["warn=one\\ntwo;exit=3", { cause: "exit", message: /code 3/, exitCode: 3 }],
      ["warn=last words\\n;kill=SIGSEGV", { cause: "signal", message: /SIGSEGV/, signal: "SIGSEGV" }],
      [
        "warn=FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\\n;kill=SIGABRT",
        { cause: "out-of-memory", message: /heap was full/, signal: "SIGABRT" },
      ],
      ["deaf", { cause: "killed", message: /closed its connection/, signal: "SIGKILL" }],
    ];
    for (const [steps, expected] of cases) {
      const grant = await daemon.lease(steps);
      const { reason } = await daemon.next("processLost", (lost) => lost.processId === grant.worker.processId);
      assert.equal(reason.cause, expected.cause, steps);
      assert.match(reason.message, expected.message);
      assert.equal(reason.exitCode, expected.exitCode);
      assert.equal(reason.signal, expected.signal);
    }
    const grant = await daemon.lease("warn=first\\nno newline;exit=1");
    const { reason } = await daemon.next("processLost", (lost) => lost.processId === grant.worker.processId);
    assert.deepEqual(reason.lastLines, ["first", "no newline"]);
  }),
);

test("a killed worker's reason is why it was killed", LIMIT, () =>
  withDaemon(async (daemon) => {
    const { leaseId, worker } = await daemon.lease();
    daemon.connection.send("killProcess", { processId: worker.processId, leaseId, message: "task f was cancelled" });
    const { reason } = await daemon.next("processLost");
    assert.equal(reason.cause, "killed");
    assert.equal(reason.message, "task f was cancelled");
    await daemon.lease();
  }),
);

test("a worker that cannot start refuses its requests, with what it wrote", LIMIT, () =>
  withDaemon(async (daemon) => {
    daemon.request("broken");
    const { failure, reason } = await daemon.next("leaseReject");
    assert.equal(failure.code, "WORKER_CRASHED");
    assert.equal(reason?.cause, "start-failed");
    assert.ok(
      reason?.lastLines?.some((line) => line.includes("its preload is missing")),
      JSON.stringify(reason),
    );
    await daemon.lease();
  }),
);

test("what workers print arrives with their title, long lines cut, the last line without its end", LIMIT, () =>
  withDaemon(async (daemon) => {
    await daemon.lease("title=f;long=100000;print=é\\nlast;exit=0");
    const lines: string[] = [];
    while (lines.length < 3) {
      const log = await daemon.next("log");
      assert.equal(log.stream, "stdout");
      lines.push(...log.lines);
    }
    assert.equal(lines[0]!.length, 64 * 1024);
    assert.ok(lines[0]!.endsWith("(cut)"));
    assert.deepEqual(lines.slice(1), ["é", "last"]);
  }),
);

test("output printed before a question is sent before its answer", LIMIT, () =>
  withDaemon(async (daemon) => {
    const grant = await daemon.lease("print=hello\\n");
    await eventually("the worker lives", () => processesOf(daemon.sessionDir).includes(grant.worker.pid));
    assert.deepEqual((await daemon.next("log")).lines, ["hello"]);
    await daemon.ask({ kind: "outputDrained" });
  }),
);

test("what a killed worker had started ends with it", LIMIT, () =>
  withDaemon(async (daemon) => {
    const { worker, leaseId } = await daemon.lease("child");
    const sleeping = (): boolean => processesOf(daemon.sessionDir).some((pid) => nameOf(pid) === "sleep");
    await eventually("its child lives", sleeping);
    daemon.connection.send("killProcess", { processId: worker.processId, leaseId, message: "over" });
    await eventually("its child is gone", () => !sleeping());
  }),
);

test("questions are answered", LIMIT, () =>
  withDaemon(
    async (daemon) => {
      const total = (await daemon.ask({ kind: "clusterResources" })) as Record<string, number>;
      assert.equal(total.CPU, 1);
      assert.equal(total.fish, 2.5);
      await daemon.lease();
      assert.equal(((await daemon.ask({ kind: "availableResources" })) as Record<string, number>).CPU, 0);
      const [node] = (await daemon.ask({ kind: "nodes" })) as { alive: boolean; labels: object }[];
      assert.deepEqual([node!.alive, node!.labels], [true, { zone: "a" }]);
      const [store] = (await daemon.ask({ kind: "objectStore" })) as { capacity: number; objects: number }[];
      assert.equal(store!.objects, 0);
      const spans = new Uint8Array(new Float64Array([0, 0, Number.NaN, 1, 2]).buffer);
      daemon.connection.send("events", { category: "task", words: ["f"], spans });
      const [event] = (await daemon.ask({ kind: "timeline" })) as { name: string; ph: string }[];
      assert.deepEqual([event!.name, event!.ph], ["f", "X"]);
      await assert.rejects(daemon.ask({ kind: "actorByName", name: "x", namespace: "n" }), /ACTOR_NOT_FOUND/);
    },
    { resources: { fish: 2.5 }, labels: { zone: "a" } },
  ),
);

const ends: [string, (daemon: DaemonHarness) => void][] = [
  ["its driver closes the connection", (daemon) => daemon.connection.close()],
  ["its driver's end of stdin closes", (daemon) => void daemon.child.stdin!.destroy()],
  ["SIGTERM", (daemon) => void daemon.child.kill("SIGTERM")],
  [
    "a message that is none",
    (daemon) => daemon.connection.send("welcome", { nodeId: "x" as never, jobId: "x" as never, namespace: "", memory: {}, total: {} }),
  ],
];
for (const [name, end] of ends) {
  test(`nothing is left after ${name}`, LIMIT, () =>
    withDaemon(
      async (daemon) => {
        await daemon.lease("child");
        await daemon.lease("deaf");
        assert.ok(daemon.leftovers().length >= 3);
        end(daemon);
        assert.equal(await daemon.exited, 0);
        await eventually("processes and folder are gone", () => daemon.leftovers().length === 0);
      },
      { numCpus: 2 },
    ),
  );
}

test("SIGINT is the driver's to answer", LIMIT, () =>
  withDaemon(async (daemon) => {
    daemon.child.kill("SIGINT");
    await daemon.lease();
  }),
);

test("after SIGKILL of the daemon its workers end, and the next daemon removes its folder", LIMIT, async () => {
  const parent = mkdtempSync(join(tmpdir(), "mobula-sessions-"));
  try {
    await withDaemon(
      async (daemon) => {
        await daemon.lease();
        daemon.child.kill("SIGKILL");
        await daemon.exited;
        await eventually("its workers are gone", () => processesOf(daemon.sessionDir).length === 0);
        assert.ok(existsSync(daemon.sessionDir));
        await withDaemon(
          async (next) => {
            assert.equal(dirname(next.sessionDir), dirname(daemon.sessionDir));
            await eventually(`${basename(daemon.sessionDir)} is removed`, () => !existsSync(daemon.sessionDir));
            assert.ok(existsSync(next.sessionDir));
          },
          {},
          parent,
        );
      },
      {},
      parent,
    );
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});

test("a folder of somebody else, or of a daemon that lives, is left alone", LIMIT, async () => {
  const parent = mkdtempSync(join(tmpdir(), "mobula-sessions-"));
  try {
    for (const name of ["mobulatest-unmarked", "other-folder"]) mkdirSync(join(parent, name));
    writeFileSync(join(parent, "other-folder", "daemon.pid"), JSON.stringify({ pid: 2 ** 22 + 1, started: "1" }));
    mkdirSync(join(parent, "mobulatest-dead"));
    writeFileSync(join(parent, "mobulatest-dead", "daemon.pid"), JSON.stringify({ pid: 2 ** 22 + 1, started: "1" }));
    await withDaemon(
      async (first) => {
        await withDaemon(
          async () => {
            await eventually("the dead one is removed", () => !existsSync(join(parent, "mobulatest-dead")));
            for (const name of ["mobulatest-unmarked", "other-folder"]) assert.ok(existsSync(join(parent, name)), name);
            assert.ok(existsSync(first.sessionDir));
          },
          {},
          parent,
        );
      },
      {},
      parent,
    );
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});

test("a daemon that cannot serve says why", LIMIT, async () => {
  await assert.rejects(DaemonHarness.start({ sessionDir: "/nonexistent/folder" }), /ENOENT|EACCES/);
});
