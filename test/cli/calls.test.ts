/** What a wrong call of the command gets: one line that says what to do, an exit code, and nothing left. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { cliPage, PAGE } from "../../scripts/cli-docs.ts";
import { nearest } from "../../src/errors/index.ts";
import { writeNodeFile } from "../../src/runtime/client/nodes-here.ts";
import { startOf } from "../../src/runtime/environments/process-marks.ts";
import { leakChecked } from "../harness/index.ts";
import { Home } from "./home.ts";

leakChecked("at the end");

test("a wrong call exits with 2 and the nearest right word, and prints nothing else", (t) => {
  const home = new Home(t);
  const rows: [string[], RegExp][] = [
    [["strat"], /no command strat\. Did you mean: mobula start\?/],
    [["list", "node"], /no command list node\. Did you mean: mobula list nodes\?/],
    [[], /a command is missing\. See: mobula --help/],
    [["list"], /a command is missing/],
    [["jobs", "list"], /Did you mean: mobula job list\?/],
    [["logs", "x"], /Did you mean: mobula job logs\?/],
    [["status", "--address", "foo"], /--address is "foo", which is no address/],
    [["start", "--address", "http://a:1"], /--address is "http:\/\/a:1", which is no address/],
    [["start", "--address", "a:1", "--fresh"], /start --address takes no --fresh/],
    [["job", "list", "--address", "http://"], /"http:\/\/" is no URL/],
    [["list", "nodes", "--filter", "x"], /--filter must be KEY=VALUE/],
    [["list", "workers", "--filter", "node=x"], /there is no key "node"/],
    [["list", "nodes", "--limit", "0"], /--limit must be a number/],
    [["status", "--dir", ""], /--dir must name a folder/],
    [["submit", "node", "--epochs", "3"], /no option --epochs\. Its own command stands after --/],
    [["xyzzy"], /See: mobula --help/],
    [["start", "--haed"], /no option --haed\. Did you mean --head\?/],
    [["start"], /either --head or --address/],
    [["start", "--head", "--address", "a:1"], /either --head or --address/],
    [["start", "--head", "--port", "x"], /--port must be a number/],
    [["start", "--head", "--resources", "{"], /--resources must be JSON/],
    [["start", "--head", "--labels", "=b"], /--labels must be a=b,c=d/],
    [["drain"], /drain takes NODE_ID, and none was given/],
    [["completion", "tcsh"], /bash, zsh, fish/],
  ];
  for (const [words, expected] of rows) {
    const { code, stdout, stderr } = home.run(words);
    assert.equal(code, 2, `${words.join(" ")}: ${stderr}`);
    assert.match(stderr, expected);
    assert.equal(stdout, "");
    assert.equal(stderr.split("\n").length, 2, stderr);
  }
});

test("what cannot be done exits with 1 and one line that says what to do", async (t) => {
  const home = new Home(t);
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  t.after(() => silent.close());
  await new Promise((resolve) => silent.once("listening", resolve));
  const { port } = silent.address() as AddressInfo;
  const made = home.json<{ hosts: string[] }>("ca", "create");
  for (const each of Object.values(networkInterfaces()).flat()) {
    if (each?.family === "IPv4") assert.ok(made.hosts.includes(each.address), `${each.address} in ${made.hosts.join(", ")}`);
  }
  const tls = path.join(home.dir, "tls");
  const rows: [string[], RegExp, NodeJS.ProcessEnv?][] = [
    [["status"], /no cluster is known in .*mobula start --head/],
    [["status", "--address", "127.0.0.1:1"], /there is no token for the cluster.*MOBULA_TOKEN/],
    [["status", "--address", "127.0.0.1:1"], /nothing listens there/, { MOBULA_TOKEN: "x".repeat(40) }],
    [["start", "--address", "127.0.0.1:1"], /nothing listens there/, { MOBULA_TOKEN: "x".repeat(40) }],
    [["start", "--head", "--port", String(port)], /address already in use|is in use/i],
    [["start", "--head", "--port", "0", "--host", "0.0.0.0"], /without TLS is refused.*ca create.*--insecure-no-tls/],
    [
      ["start", "--head", "--host", "203.0.113.7", "--tls-dir", tls],
      /names .*, and not 203\.0\.113\.7.*ca create --tls-dir \S+ --host 203/,
    ],
    [["stop"], /no node of .* runs here/],
    [["run", "nothing.mjs"], /there is no file nothing\.mjs/],
    [["start", "--head", "--dir", import.meta.filename], /folder \S+ cannot be made: .* is a file\. Name another by --dir/],
  ];
  for (const [words, expected, env] of rows) {
    const { code, stdout, stderr } = home.run(words, env);
    assert.equal(code, 1, `${words.join(" ")}: ${stderr}`);
    assert.match(stderr, expected);
    assert.equal(stdout, "");
    assert.equal(stderr.split("\n").length, 2, stderr);
  }
});

test("a wrong token is refused by the cluster and never printed; a broken cluster file is named", (t) => {
  const home = new Home(t);
  const { address } = home.json<{ address: string }>("start", "--head", "--port", "0", "--num-cpus", "1");
  const secret = "wrong-".repeat(8);
  for (const words of [["status"], ["start", "--address", address, "--dir", `${home.dir}/other`]]) {
    const { code, stdout, stderr } = home.run(words, { MOBULA_TOKEN: secret });
    assert.equal(code, 1);
    assert.match(stderr, /token/);
    assert.ok(!`${stdout}${stderr}`.includes(secret));
  }
  assert.equal(home.run(["stop"]).code, 0);
  writeFileSync(path.join(home.dir, "cluster.json"), "{");
  const { code, stderr } = home.run(["start", "--head"]);
  assert.equal(code, 1);
  assert.match(stderr, /cluster\.json cannot be read as the file of a cluster.*--fresh/);
});

test("help has an example for every command, the doctor looks, and completion is a script", (t) => {
  const home = new Home(t);
  const overview = home.run(["--help"]);
  assert.equal(overview.code, 0);
  assert.match(home.run(["help", "start"]).stdout, /^mobula start /);
  assert.match(home.run(["job", "--help"]).stdout, /\n {2}job logs /);
  const names = [...overview.stdout.matchAll(/^ {2}([a-z-]+(?: [a-z]+)?) {2,}\S/gm)].map(([, name]) => name!);
  assert.ok(names.length >= 13, names.join());
  for (const name of names) {
    const { code, stdout } = home.run([...name.split(" "), "--help"]);
    assert.equal(code, 0);
    assert.match(stdout, /Options:\n[^]*--json[^]*Example:\n {2}\S/);
  }
  assert.equal(home.json<{ missing: number }>("doctor").missing, 0);
  for (const shell of ["bash", "zsh", "fish"]) assert.match(home.run(["completion", shell]).stdout, /mobula/);
  assert.equal(readFileSync(PAGE, "utf8"), cliPage(), "npm run cli:docs writes the page");
  assert.equal(nearest("statsu", ["start", "status", "stop"]), "status");
});

test("shells complete commands, options, choices and files", (t) => {
  const home = new Home(t);
  const wanted: [line: string, words: string[]][] = [
    ["mobula sta", ["start", "status"]],
    ["mobula job l", ["list", "logs"]],
    ["mobula list ", ["nodes", "workers"]],
    ["mobula job status --d", ["--dir"]],
    ["mobula job logs --f", ["--follow"]],
    ["mobula completion ", ["bash", "fish", "zsh"]],
    ["mobula list nodes --js", ["--json"]],
    ["mobula start --head --dashboard-port ", []],
    ["mobula job list x", []],
  ];
  const script = path.join(home.dir, "completion");
  // Each shell's own way to ask; zsh runs the one of bash.
  const asks: Record<string, (line: string) => string> = {
    bash: (line) =>
      `source ${script}; COMP_WORDS=(${line
        .split(" ")
        .map((word) => `"${word}"`)
        .join(" ")}); COMP_CWORD=${line.split(" ").length - 1};` + `_mobula; printf '%s\\n' "\${COMPREPLY[@]}"`,
    fish: (line) => `source ${script}; complete -C '${line}'`,
  };
  for (const [shell, ask] of Object.entries(asks)) {
    if (spawnSync(shell, ["-c", "true"]).error !== undefined) {
      t.diagnostic(`${shell} is not installed here`);
      continue;
    }
    writeFileSync(script, home.run(["completion", shell]).stdout);
    for (const [line, words] of wanted) {
      const { stdout, stderr } = spawnSync(shell, ["-c", ask(line)], { encoding: "utf8", cwd: home.dir });
      assert.equal(stderr, "", `${shell}: ${line}`);
      const found = stdout.split("\n").map((row) => row.split("\t")[0]!);
      assert.deepEqual(found.filter((word) => word !== "").toSorted(), words, `${shell}: ${line}`);
    }
  }
});

test("a program whose node hangs up before it has said a word is told so", async (t) => {
  const home = new Home(t);
  const socket = path.join(home.dir, "node.sock");
  const server = createServer((connection) => connection.destroy());
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const control = ["127.0.0.1:1"];
  const node = { nodeId: "0123456789ab" as never, pid: process.pid, started: startOf(process.pid)!, socket, sessionDir: home.dir };
  const file = writeNodeFile(home.dir, { ...node, clusterId: "c", control, address: "127.0.0.1:1", head: true });
  try {
    const { code, stdout, stderr } = await home.program(
      `await ray.init().catch((error) => console.log(error.name, error.message)); console.log("over");`,
      control[0]!,
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^ConnectionError The connection to the node is lost\. .*\nover\n$/);
  } finally {
    // The test's own process is named in it, and would be ended.
    rmSync(file);
    server.close();
  }
});
