/**
 * The errors: codes and fields, the way through data and back, docs/errors.md against the registry, and how deaths read.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { inspect } from "node:util";
import * as errors from "../../src/errors/index.ts";
import {
  actorDied,
  actorUnavailable,
  editDistance,
  errorEntry,
  errorRegistry,
  fromData,
  GetTimeoutError,
  InvalidOptionError,
  MobulaError,
  nearest,
  QueueEmptyError,
  suggest,
  TaskError,
  taskLost,
  toData,
  WorkerCrashedError,
} from "../../src/errors/index.ts";

test("every exported error class is in the registry, and the other way round", () => {
  const exported = Object.entries(errors)
    .filter(([, value]) => typeof value === "function" && value.prototype instanceof MobulaError)
    .map(([name]) => name);
  assert.deepEqual(exported.toSorted(), errorRegistry.map((entry) => entry.name).toSorted());
  const codes = errorRegistry.map((entry) => entry.code);
  assert.equal(new Set(codes).size, codes.length);
});

test("docs/errors.md says what the registry says", () => {
  const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const sections = new Map(
    page
      .split(/^## /m)
      .slice(1)
      .map((text) => [text.slice(0, text.indexOf("\n")), text]),
  );
  for (const { name, code, meaning, todo, fields } of errorRegistry) {
    const section = sections.get(name);
    assert.ok(section !== undefined, `docs/errors.md has no section ${name}`);
    const listed = fields.map((field) => `\`${field}\``).join(", ");
    assert.equal(section, `${name}\n\n\`${code}\`\n\n${meaning}\n\nWhat to do: ${todo}\n\nFields: ${listed}.\n\n`);
    sections.delete(name);
    for (const field of fields) assert.match(sections.get("What the fields mean") ?? "", new RegExp(`\`${field}\``), field);
  }
  assert.deepEqual([...sections.keys()], ["What the fields mean"]);
});

test("each class has its code, name and fields, and comes back from data as itself", () => {
  for (const { type, name, code, fields } of errorRegistry) {
    const details = Object.fromEntries(fields.map((field, i) => [field, field === "value" ? `v${i}` : i]));
    const cause = new RangeError("deep");
    const error = new type("what happened", { ...details, cause } as never);
    assert.equal(error.code, code);
    assert.equal(error.name, name);
    assert.equal(String(error), `${name}: what happened`);
    assert.ok(error instanceof Error && error instanceof MobulaError && error instanceof type);
    const back = fromData(structuredClone({ ...toData(error), cause: undefined }));
    assert.equal(Object.getPrototypeOf(back), type.prototype);
    assert.equal(back.stack, error.stack);
    for (const field of fields) assert.equal(Reflect.get(back, field), details[field], `${name}.${field}`);
    assert.equal(fromData(toData(error)).cause, cause);
    assert.equal("cause" in fromData(toData(new type("no cause"))), false);
  }
});

test("data cannot bring in fields that the class does not have", () => {
  const error = fromData({
    code: "GET_TIMEOUT",
    message: "m",
    fields: JSON.parse('{"timeoutMs":1,"__proto__":{"a":1},"code":"X","then":1}'),
  });
  assert.deepEqual({ ...error }, { code: "GET_TIMEOUT", timeoutMs: 1 });
  assert.equal(Object.getPrototypeOf(error), GetTimeoutError.prototype);
});

test("a code of a newer version gives a plain MobulaError with that code", () => {
  const error = fromData({ code: "FROM_THE_FUTURE", message: "m", fields: { a: 1 } });
  assert.equal(error.constructor, MobulaError);
  assert.equal(error.code, "FROM_THE_FUTURE");
  assert.equal(errorEntry("FROM_THE_FUTURE"), undefined);
});

test("the value of a wrong option crosses only if it is plain", () => {
  const field = (value: unknown): unknown => toData(new InvalidOptionError("m", { option: "o", value })).fields["value"];
  assert.equal(field(-1), -1);
  assert.equal(field("a"), "a");
  const fn = (): number => 1;
  assert.equal(field(fn), String(fn));
  assert.equal(field(Symbol("s")), "Symbol(s)");
  assert.equal(field(new Map()), "[object Map]");
  assert.equal(field([1, 2]), "an array of 2");
});

test("instanceof goes by brand, so a second copy of the class is the same, and subclasses stay apart", () => {
  class Copy extends Error {}
  Object.defineProperty(Copy.prototype, errors.errorBrand, { value: "WorkerCrashedError" });
  const copy: unknown = new Copy();
  assert.ok(copy instanceof WorkerCrashedError);
  assert.ok(!(copy instanceof TaskError));
  class Own extends WorkerCrashedError {}
  assert.ok(new Own("x") instanceof WorkerCrashedError);
  assert.ok(!(new WorkerCrashedError("x") instanceof Own));
  assert.ok(new Own("x") instanceof Own);
  assert.ok(new QueueEmptyError("x") instanceof GetTimeoutError);
  assert.ok(!(new GetTimeoutError("x") instanceof QueueEmptyError));
  for (const other of [null, undefined, 1, "x", {}, new Error("x")]) assert.ok(!((other as unknown) instanceof MobulaError));
});

test("TaskError wraps once, and says what was thrown", () => {
  class TooFar extends Error {}
  const thrown = new TooFar("by 3");
  const error = TaskError.wrap(thrown, { functionName: "walk", pid: 12, taskId: "t" });
  assert.equal(error.cause, thrown);
  assert.equal(error.errorName, "TooFar");
  assert.match(error.message, /^walk threw TooFar: by 3 in process 12\./);
  assert.equal(error.stack?.split("\n")[0], `TaskError: ${error.message}`);
  assert.ok(error.stack?.includes("errors.test.ts"), "the frames are those of the user's error");
  assert.equal(TaskError.wrap(error, { functionName: "outer" }), error);
  assert.ok(inspect(error).includes("[cause]"));
});

test("TaskError takes whatever was thrown", () => {
  const hostile = new Proxy(
    {},
    {
      get() {
        throw new Error("no");
      },
    },
  );
  for (const thrown of [undefined, null, 0, "text", Symbol("s"), 10n, { a: 1 }, () => 1, Object.create(null), hostile]) {
    const error = TaskError.wrap(thrown);
    assert.equal(error.cause, thrown);
    assert.ok(Object.hasOwn(error, "cause"));
    assert.equal(fromData(toData(error)).cause, thrown);
  }
  assert.match(TaskError.wrap("text").message, /A task threw "text", which is not an Error\. /);
});

test("a lost task says how its process ended", () => {
  const task = { taskId: "t-1", functionName: "train", attempts: 4 };
  const death = { cause: "signal", message: "", signal: "SIGSEGV", lastLines: ["boom", "bang"] };
  const error = taskLost(task, death, { pid: 7, nodeId: "n" });
  assert.equal(error.code, "WORKER_CRASHED");
  assert.match(error.message, /Task train lost its worker process 7 \(the last of 4 attempts\)\. It was ended by signal SIGSEGV/);
  assert.match(error.message, /\n {2}boom\n {2}bang/);
  assert.deepEqual(
    { ...error },
    {
      code: "WORKER_CRASHED",
      nodeId: "n",
      pid: 7,
      signal: "SIGSEGV",
      lastLines: ["boom", "bang"],
      taskId: "t-1",
      functionName: "train",
    },
  );
  assert.equal(taskLost(task, { cause: "out-of-memory", message: "heap limit" }).code, "OUT_OF_MEMORY");
  assert.equal(taskLost(task, { cause: "node-died", message: "" }).code, "NODE_DIED");
  assert.equal(taskLost(task, { cause: "start-failed", message: "Cannot find module x", exitCode: 1 }).code, "RUNTIME_ENV_FAILED");
});

test("a lost call says whether it can have had an effect", () => {
  const call = { actorId: "a", className: "Counter", method: "add", outcome: "unknown" as const };
  const death = { cause: "exit", message: "", exitCode: 3 };
  assert.match(actorUnavailable(call, death).message, /Counter\.add failed.*exited with code 3.*effect is unknown\. Call again/s);
  const died = actorDied({ ...call, outcome: "not-executed" }, death, {}, new RangeError("ctor"));
  assert.match(died.message, /the actor is dead.*not executed/s);
  assert.ok(died.cause instanceof RangeError);
  assert.equal(died.outcome, "not-executed");
});

test("the nearest name is found by edits, without regard to case and underscores", () => {
  const names = ["numCpus", "numGpus", "memory", "maxRetries", "maxRestarts"];
  assert.equal(nearest("numCpu", names), "numCpus");
  assert.equal(nearest("num_cpus", names), "numCpus");
  assert.equal(nearest("maxretires", names), "maxRetries");
  assert.equal(nearest("colour", names), undefined);
  assert.equal(editDistance("abc", "acb"), 1);
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(editDistance("", "abc"), 3);
  assert.match(suggest("colour", names), /^There are: numCpus, /);
});
