/** Rows do not rot: each has a loop for each of its contenders, and each loop of this project runs, once and tiny. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import path from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { loops as echoes } from "../../bench/limits/echo.ts";
import { loops as forks } from "../../bench/limits/fork.ts";
import { loops as copies } from "../../bench/limits/memory.ts";
import { loops as streams } from "../../bench/limits/stream.ts";
import { plots } from "../../bench/rows/plots.ts";
import { rows } from "../../bench/rows/index.ts";
import { leakChecked } from "../harness/index.ts";

leakChecked("at the end");

const root = path.resolve(import.meta.dirname, "../..");

test("every row has a loop of the limit and of Ray where it names them, and neither has others", () => {
  const of = (name: "limit" | "ray"): string[] => rows.filter((row) => row.contenders.includes(name)).map((row) => row.id);
  const limits = { ...echoes, ...forks, ...copies, ...streams };
  // A5 is A10 in batches: a loop, and no row.
  assert.deepEqual(new Set(Object.keys(limits).filter((id) => id !== "A5")), new Set(of("limit")));
  const main = readFileSync(path.join(root, "bench/ray/main.py"), "utf8");
  const table = main.slice(main.indexOf("LOOPS = {"), main.indexOf("\n}", main.indexOf("LOOPS = {")));
  const inPython = [...table.matchAll(/^ {4}"([\w-]+)":/gm)].map((match) => match[1]!);
  assert.deepEqual(new Set(inPython), new Set(of("ray")));
});

test("every row of this project runs", async () => {
  // Of a plot the smallest size stands for the others: it is the same loop.
  const left = new Set(plots.flatMap(({ name, sizes }) => sizes.slice(1).map((size) => `${name}/${size}`)));
  const names = rows.map((row) => row.id).filter((id) => !left.has(id));
  const args = ["--import", "tsx", "bench/run.ts", "--smoke", "--only", "mobula", ...names];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  assert.equal(out.trim(), `${names.length} rows ran`, `${out}\n${err}`);
  assert.equal(code, 0);
});
