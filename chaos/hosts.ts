/**
 * Hosts on one machine: each has a network of its own with an address, a name, and its own /tmp, /dev/shm and home folder, joined by a
 * switch whose cables can be pulled. Made of namespaces, so it takes root and `ip`, and leaves nothing when it ends. Linux only.
 */
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "..");
export const command = path.join(root, "dist/cli/main.js");
const TEMP = "/tmp";
const RUN_MS = 90_000;
let networks = 0;

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function sh(line: string): string {
  const { status, stdout, stderr } = spawnSync("sh", ["-ec", line], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${line}: ${stderr}`);
  return stdout;
}

/** Why there can be no hosts here; undefined when there can. */
export function whyNoHosts(): string | undefined {
  if (process.getuid?.() !== 0) return "network namespaces take root";
  for (const tool of ["ip", "nsenter", "unshare", "mount"]) {
    if (spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0) return `there is no ${tool}`;
  }
  if ([root, process.execPath].some((file) => file.startsWith(`${TEMP}/`)))
    return `hosts have a ${TEMP} of their own, and this package is in it`;
  const name = `mbl${process.pid}t`;
  const bridge = `ip netns add ${name} && { ip -n ${name} link add br0 type bridge; r=$?; ip netns del ${name}; exit $r; }`;
  const { status, stderr } = spawnSync("sh", ["-c", bridge], { encoding: "utf8" });
  return status === 0 ? undefined : `namespaces are not allowed here: ${stderr.trim()}`;
}

export class Network {
  readonly hosts: Host[] = [];
  readonly #switch: string;

  /** Throws where there can be none: see `whyNoHosts`. */
  constructor(count: number) {
    const id = `mbl${process.pid}n${networks++}`;
    this.#switch = `${id}s`;
    try {
      sh(`ip netns add ${this.#switch}; ip -n ${this.#switch} link add br0 type bridge; ip -n ${this.#switch} link set br0 up`);
      for (let i = 1; i <= count; i++) this.hosts.push(new Host(`${id}h${i}`, `10.99.0.${i}`, this.#switch, `v${i}`));
    } catch (error) {
      this.end();
      throw error;
    }
  }

  /** Ends every process of every host. */
  end(): void {
    for (const host of this.hosts) host.end();
    spawnSync("ip", ["netns", "del", this.#switch]);
  }
}

export class Host {
  readonly name: string;
  readonly address: string;
  /** Its home folder: no other host sees it. */
  readonly home = `${TEMP}/home`;
  readonly #cable: readonly string[];
  readonly #holder: ChildProcess;

  constructor(name: string, address: string, switchName: string, port: string) {
    this.name = name;
    this.address = address;
    this.#cable = ["-n", switchName, "link", "set", port];
    sh(
      `ip netns add ${name}; ip link add ${port} netns ${switchName} type veth peer name eth0 netns ${name}
       ip -n ${switchName} link set ${port} master br0 up
       ip -n ${name} link set lo up; ip -n ${name} addr add ${address}/24 dev eth0; ip -n ${name} link set eth0 up`,
    );
    // Holds what only this host sees.
    const mounts = `mount -t tmpfs tmpfs ${TEMP} && mkdir -m 700 ${this.home} && mount -t tmpfs tmpfs /dev/shm && hostname ${name}`;
    const holds = `${mounts} && touch ${TEMP}/ready && exec sleep 100000`;
    this.#holder = spawn("ip", ["netns", "exec", name, "unshare", "--mount", "--uts", "sh", "-ec", holds], { stdio: "ignore" });
    for (const until = Date.now() + 10_000; this.#enter("test -e /tmp/ready").status !== 0;) {
      if (Date.now() > until) throw new Error(`host ${name} did not come up`);
      spawnSync("sleep", ["0.02"]);
    }
  }

  /** The command `mobula`. */
  async mobula(...words: readonly string[]): Promise<Ran> {
    return await this.start([process.execPath, command, ...words]).ended;
  }

  async json<T>(...words: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.mobula(...words, "--json");
    if (code !== 0) throw new Error(`mobula ${words.join(" ")} on ${this.name} gave ${code}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** A program of the package, in its own process. */
  program(
    code: string,
    env: NodeJS.ProcessEnv = {},
    limitMs = RUN_MS,
  ): { readonly child: ChildProcess; readonly ended: Promise<Ran>; output(): string } {
    const file = `${this.home}/program-${Math.random().toString(36).slice(2)}.mjs`;
    this.write(file, `import * as ray from ${JSON.stringify(path.join(root, "dist/index.js"))};\n${code}`);
    return this.start([process.execPath, file], env, limitMs);
  }

  start(
    words: readonly string[],
    env: NodeJS.ProcessEnv = {},
    limitMs = RUN_MS,
  ): { readonly child: ChildProcess; readonly ended: Promise<Ran>; output(): string } {
    const child = spawn("nsenter", this.#inside(["sh", "-c", 'cd "$HOME" && exec "$@"', "sh", ...words]), {
      env: { ...process.env, HOME: this.home, TMPDIR: TEMP, MOBULA_HOME: `${this.home}/.mobula`, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const timer = limitMs === Infinity ? undefined : setTimeout(() => child.kill("SIGKILL"), limitMs);
    const ended = new Promise<Ran>((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
    return { child, ended: ended.finally(() => clearTimeout(timer)), output: () => stdout + stderr };
  }

  write(file: string, text: string): void {
    this.#enter(`umask 077; mkdir -p "$(dirname ${file})"; cat > ${file}`, text);
  }

  read(file: string): string {
    const { status, stdout, stderr } = this.#enter(`cat ${file}`);
    if (status !== 0) throw new Error(`${this.name}: ${stderr}`);
    return stdout;
  }

  /** Pulls its cable, or puts it back. */
  plug(up: boolean): void {
    sh(["ip", ...this.#cable, up ? "up" : "down"].join(" "));
  }

  /** What it sends to another goes nowhere, and nobody says so; what that one sends arrives. */
  deafen(to: Host, deaf: boolean): void {
    const entry = `to ${to.address} dev eth0`;
    sh(`ip -n ${this.name} neigh ${deaf ? "replace" : "del"} ${entry} ${deaf ? "lladdr 02:00:00:00:00:99 nud permanent" : ""}`);
  }

  /** Ends every process that it has. */
  end(): void {
    const pids = spawnSync("ip", ["netns", "pids", this.name], { encoding: "utf8" }).stdout.split(/\s+/).filter(Boolean);
    for (const pid of pids) {
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch {
        continue; // It has ended.
      }
    }
    this.#holder?.kill("SIGKILL");
    spawnSync("ip", ["netns", "del", this.name]);
  }

  #inside(words: readonly string[]): string[] {
    return ["--target", String(this.#holder.pid), "--mount", "--net", "--uts", "--", ...words];
  }

  #enter(line: string, input = ""): ReturnType<typeof spawnSync> & { stdout: string; stderr: string } {
    return spawnSync("nsenter", this.#inside(["sh", "-c", line]), { input, encoding: "utf8" }) as never;
  }
}

export interface Started {
  readonly address: string;
  readonly nodeId: string;
  readonly pid: number;
}

/** A cluster with TLS over these hosts, made as its users would; the first is the head. Each has two processors and its name. */
export async function clusterOver(hosts: readonly Host[]): Promise<Started[]> {
  const [head, ...others] = hosts as [Host, ...Host[]];
  const folder = `${head.home}/.mobula`;
  const nodes: Started[] = [];
  const options = (host: Host): string[] => ["--host", host.address, "--num-cpus", "2", "--tls-dir", `${folder}/tls`];
  const own = (i: number): string[] => ["--resources", JSON.stringify({ [`host${i}`]: 100 })];
  await head.json("ca", "create", "--tls-dir", `${folder}/tls`, "--host", head.address);
  nodes.push(await head.json<Started>("start", "--head", ...options(head), ...own(1)));
  const files = ["token", "tls/ca.pem", "tls/ca-key.pem"].map((name) => [`${folder}/${name}`, head.read(`${folder}/${name}`)] as const);
  const joined = others.map(async (host, i) => {
    for (const [file, text] of files) host.write(file, text);
    await host.json("ca", "create", "--tls-dir", `${folder}/tls`, "--host", host.address);
    return await host.json<Started>("start", "--address", nodes[0]!.address, ...options(host), ...own(i + 2));
  });
  return [...nodes, ...(await Promise.all(joined))];
}
