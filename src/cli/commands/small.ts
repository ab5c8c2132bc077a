/** Commands of a few lines. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { constants, hostname, networkInterfaces } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { ClusterStatus } from "../../runtime/control/questions.ts";
import { homeFolder } from "../../runtime/network/home.ts";
import { createAuthority, issueCertificate } from "../../runtime/network/authority.ts";
import { createToken } from "../../runtime/network/token-file.ts";
import { command, CommandError } from "../command.ts";
import { askControl, targetOf } from "../target.ts";
import { ADDRESS, DIR, TLS_DIR } from "./options.ts";

export const healthCheck = command({
  name: "health-check",
  about: "Exit code 0 when control answers and a node lives, else 1.",
  options: { address: ADDRESS, dir: DIR, "tls-dir": TLS_DIR },
  example: "mobula health-check && echo well",
  async run({ options, output }) {
    const { control, nodes } = (await askControl(targetOf(options), { kind: "status" })) as ClusterStatus;
    const alive = nodes.filter((node) => node.alive).length;
    if (alive === 0)
      throw new CommandError(
        `control at ${control.address} answers, but no node lives. Start one by: mobula start --address ${control.address}`,
      );
    output.result(
      { healthy: true, address: control.address, nodes: alive },
      () => `Well: control at ${control.address} answers, ${alive === 1 ? "one node lives" : `${alive} nodes live`}.`,
    );
    return 0;
  },
});

export const token = command({
  name: "token",
  about: "Where the cluster's token is, made now if there is none. It is printed only with --show.",
  options: { dir: DIR, show: { about: "Print the token itself: whoever has it may run code on every node" } },
  example: "scp $(mobula token) other:.mobula/token",
  run({ options, output }) {
    const found = createToken(options.dir ?? homeFolder());
    const shown = options.show === true ? { token: found.token.expose() } : {};
    output.result({ tokenFile: found.from, ...shown }, () => (options.show === true ? found.token.expose() : found.from));
    return Promise.resolve(0);
  },
});

export const caCreate = command({
  name: "ca create",
  about: "Make a certificate authority for a cluster and a certificate for this machine: ca.pem, ca-key.pem, node.pem, node-key.pem.",
  options: {
    "tls-dir": { value: "FOLDER", about: "Where to put them (default: tls in the cluster's folder)" },
    dir: DIR,
    host: { value: "HOST", about: "A name or address that others reach this machine by; may be given more than once", many: true },
  },
  example: "mobula ca create --tls-dir ~/.mobula/tls --host 10.0.0.5",
  run({ options, output }) {
    const folder = options["tls-dir"] ?? `${options.dir ?? homeFolder()}/tls`;
    if (!existsSync(`${folder}/ca.pem`)) createAuthority(folder);
    const hosts = options.host ?? [hostname(), "localhost", "127.0.0.1", "::1", ...ownAddresses()];
    issueCertificate(folder, { hosts });
    output.result(
      { tlsDir: folder, hosts },
      () => `Certificates for ${hosts.join(", ")} are in ${folder}. Name it by --tls-dir; copy it to each machine by a safe way.`,
    );
    return Promise.resolve(0);
  },
});

/** By which others may reach this machine. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return all.filter(({ internal, scopeid }) => !internal && (scopeid ?? 0) === 0).map(({ address }) => address);
}

export const run = command({
  name: "run",
  arguments: "FILE [ARGS]",
  takes: [1, Number.MAX_SAFE_INTEGER],
  passesOn: "after first",
  about: "Run a program as a driver of the cluster: .ts or .js. Its exit code is that of the program.",
  options: { address: ADDRESS, dir: DIR },
  example: "mobula run train.ts --epochs 3",
  async run({ options, arguments: [file, ...rest] }) {
    const info = statSync(file!, { throwIfNoEntry: false });
    if (info?.isFile() !== true) throw new CommandError(info === undefined ? `there is no file ${file}` : `${file} is no file to run`);
    const target = targetOf(options);
    const child = spawn(process.execPath, [...loaderFor(file!), file!, ...rest], {
      stdio: "inherit",
      env: {
        ...process.env,
        MOBULA_ADDRESS: target.address,
        MOBULA_HOME: target.dir,
        ...(target.tlsDir === undefined ? {} : { MOBULA_TLS_DIR: target.tlsDir }),
      },
    });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
      process.on(signal, () => {
        if (!(KEYS.includes(signal) && inFront())) child.kill(signal);
      });
    }
    return await new Promise<number>((done, reject) => {
      child.on("error", reject);
      // As shells say it.
      child.on("exit", (code, signal) => done(code ?? 128 + constants.signals[signal!]));
    });
  },
});

/** Signals of keys go to all processes in front of a terminal: the program has had them already. */
const KEYS: readonly NodeJS.Signals[] = ["SIGINT", "SIGQUIT"];

function inFront(): boolean {
  try {
    // After the name: state, parent, group, session, terminal, and the group in front of that.
    const [, , group, , , front] = readFileSync("/proc/self/stat", "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return group === front;
  } catch {
    return false;
  }
}

/** TypeScript needs tsx, beside the program, here, or beside mobula; or a Node that strips types. */
function loaderFor(file: string): string[] {
  if (!/\.[cm]?tsx?$/.test(file)) return [];
  for (const from of [pathToFileURL(resolve(file)), pathToFileURL(`${process.cwd()}/`), import.meta.url]) {
    try {
      return ["--import", pathToFileURL(createRequire(from).resolve("tsx")).href];
    } catch {
      continue;
    }
  }
  const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
  if (major > 22 || (major === 22 && minor >= 18)) return [];
  throw new CommandError(
    `${file} is TypeScript, which Node ${process.versions.node} does not run. Install tsx beside it, or use Node 22.18 or newer`,
  );
}
