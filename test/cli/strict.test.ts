/** Calls as strict outsiders make them: relative folders, starts at the same moment or cut short, output that nobody takes. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { coloursWanted } from "../../src/cli/output.ts";
import { nodesHere } from "../../src/runtime/client/nodes-here.ts";
import { leakChecked, waitUntil } from "../harness/index.ts";
import { Home } from "./home.ts";

leakChecked("at the end");

const HEAD = ["start", "--head", "--port", "0", "--dashboard-port", "0", "--num-cpus", "1"];

test("of two heads that start in a folder at the same moment, --fresh too, one serves and the other says so", async (t) => {
  const home = new Home(t);
  for (const more of [[], ["--fresh"]]) {
    const both = [1, 2].map(() => home.command([...HEAD, ...more, "--json"]));
    const codes = await Promise.all(both.map((each) => each.ended));
    assert.deepEqual(codes.toSorted(), [0, 1], both.map(({ stderr }) => stderr).join());
    const loser = both[codes.indexOf(1)]!;
    assert.match(loser.stderr, /^mobula: a head of \S+ (is being started by another command|runs already).*\n$/);
    assert.equal(loser.stdout, "");
    const { address } = JSON.parse(both[codes.indexOf(0)]!.stdout) as { address: string };
    assert.equal(home.json<{ address: string }>("health-check").address, address);
    assert.equal(home.run(["stop"]).code, 0);
  }
});

test("a start that is cut short leaves nothing that runs; a wrong one forgets nothing", async (t) => {
  const home = new Home(t);
  const starting = home.command([...HEAD, "--json"]);
  const logs = path.join(home.dir, "logs");
  await waitUntil(() => spawnSync("ls", [logs], { encoding: "utf8" }).stdout.includes("node-"), "its node is started");
  starting.kill("SIGINT");
  const code = await starting.ended;
  // It may have served a moment before.
  if (code === 0) assert.equal(home.run(["stop"]).code, 0);
  else assert.match(starting.stderr, /^mobula: the node did not start: SIGINT ended its start.*\n$/);
  assert.deepEqual(nodesHere(home.dir), []);
  const token = readFileSync(path.join(home.dir, "token"), "utf8");
  for (const wrong of [
    ["--port", "x"],
    ["--labels", "a"],
    ["--resources", '{"CPU":1}'],
    ["--resources", '{"":1}'],
    ["--num-cpus", "-1"],
  ]) {
    const { code: refused, stderr } = home.run(["start", "--head", "--fresh", ...wrong]);
    assert.equal(refused, 2, stderr);
  }
  assert.equal(readFileSync(path.join(home.dir, "token"), "utf8"), token);
  const left = ["jobs/job-00000000/log/0000000000000000.log", "logs/node-old.log"].map((name) => path.join(home.dir, name));
  for (const file of left) {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, "old");
  }
  home.json(...HEAD, "--fresh");
  assert.deepEqual(left.filter(existsSync), [], "logs of a cluster that is forgotten");
  assert.notEqual(readFileSync(path.join(home.dir, "token"), "utf8"), token);
  assert.equal(home.run(["stop"]).code, 0);
});

test("start --block stays for as long as its node lives, and the node for as long as it, however that ends", async (t) => {
  const home = new Home(t);
  for (const how of ["stop", "SIGTERM", "SIGKILL"] as const) {
    const front = home.command([...HEAD, "--block"]);
    let code: number | null | undefined;
    void front.ended.then((ended) => (code = ended));
    await waitUntil(() => front.stdout.includes("mobula stop"), "it serves", { timeoutMs: 30_000, story: () => front.stderr });
    // Asking takes a while in which it could have ended.
    assert.equal(home.run(["health-check"]).code, 0);
    assert.equal(code, undefined, "it is in front");
    if (how === "stop") assert.equal(home.run(["stop"]).code, 0);
    else front.kill(how);
    assert.equal(await front.ended, how === "SIGKILL" ? null : 0, front.stderr);
    await waitUntil(() => nodesHere(home.dir).length === 0, "its node has ended", { timeoutMs: 10_000 });
  }
});

test("folders are named from where the call is made; what follows is a program's own", (t) => {
  const home = new Home(t, () => {
    // The folder of that cluster is another.
    home.run(["stop", "--dir", "here/cluster"], {}, home.dir);
  });
  mkdirSync(path.join(home.dir, "here"));
  writeFileSync(path.join(home.dir, "here", "program.mjs"), "console.log(process.argv.slice(2), process.env.MOBULA_HOME);");
  writeFileSync(path.join(home.dir, "here", "killed.mjs"), "process.kill(process.pid, 'SIGKILL');");
  writeFileSync(path.join(home.dir, "here", "typed.ts"), "const n: number = 7; process.exit(n);");
  const at = path.join(home.dir, "here");
  const call = (words: readonly string[], env: NodeJS.ProcessEnv = {}) => home.run(words, env, at);
  assert.equal(call([...HEAD, "--dir", "cluster"]).code, 0);
  const dir = path.join(at, "cluster");
  assert.equal(call(["health-check"], { MOBULA_HOME: "cluster" }).code, 0);
  assert.deepEqual(readdirSync(dir).includes("cluster"), false);
  assert.equal(call(["run", "--dir", "cluster", "program.mjs", "--a", "b"]).stdout, `[ '--a', 'b' ] ${dir}\n`);
  assert.equal(call(["run", "--dir", "cluster", "killed.mjs"]).code, 137);
  assert.equal(call(["run", "--dir", "cluster", "typed.ts"]).code, 7);
  const ran = call(["run", "--dir", "cluster", at]);
  assert.deepEqual([ran.code, ran.stderr], [1, `mobula: ${at} is no file to run\n`]);
  assert.equal(call(["list", "nodes", "--dir", "cluster", "--filter", "resources.total.CPU=1"]).stdout.split("\n").length, 3);
  assert.equal(call(["list", "nodes", "--dir", "cluster", "--filter", "head=false", "--json"]).stdout, "[]\n");
});

test("an output that cannot be written is an error; nobody who reads on is none", (t) => {
  const home = new Home(t);
  const full = openSync("/dev/full", "w");
  const to = (stdout: number) => home.spawnSync(["doctor"], { stdio: ["ignore", stdout, "pipe"] });
  const { status, stderr } = to(full);
  assert.equal(status, 1);
  assert.match(stderr, /^mobula: the output cannot be written: ENOSPC.*\n$/);
  assert.equal(home.spawnSync(["strat"], { stdio: ["ignore", "pipe", full] }).status, 2);
  assert.ok(coloursWanted({ NO_COLOR: "" }));
  for (const env of [{ NO_COLOR: "1" }, { FORCE_COLOR: "0" }, { TERM: "dumb" }]) assert.ok(!coloursWanted(env), JSON.stringify(env));
});
