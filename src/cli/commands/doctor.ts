/** `mobula doctor`: what this machine lacks. */
import { accessSync, constants, statfsSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { libc } from "../../memory/ffi.ts";
import { homeFolder } from "../../runtime/network/home.ts";
import { countGpus } from "../../runtime/gpus.ts";
import { command } from "../command.ts";
import { DIR } from "./options.ts";

interface Finding {
  readonly what: string;
  readonly state: "good" | "warning" | "missing";
  readonly detail: string;
}

const GIB = 2 ** 30;

export const doctor = command({
  name: "doctor",
  about: "Look at what this machine lacks, and say how to get it. Exit code 1 when something needed is missing.",
  options: { dir: DIR },
  example: "mobula doctor",
  run({ options, output }) {
    const findings = [
      nodeVersion(),
      sharedMemory(),
      freeSpace("/dev/shm", 1),
      freeSpace(tmpdir(), 2),
      folder(options.dir ?? homeFolder()),
      processors(),
    ];
    const marks = {
      good: output.style("green", "ok"),
      warning: output.style("yellow", "warning"),
      missing: output.style("red", "missing"),
    };
    const missing = findings.filter(({ state }) => state === "missing").length;
    output.result({ missing, findings }, () => findings.map(({ what, state, detail }) => `${marks[state]}  ${what}: ${detail}`).join("\n"));
    return Promise.resolve(missing > 0 ? 1 : 0);
  },
});

function nodeVersion(): Finding {
  const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
  const good = major > 20 || (major === 20 && minor >= 19);
  return {
    what: "Node",
    state: good ? "good" : "missing",
    detail: `${process.versions.node}${good ? "" : "; 20.19 or newer is needed: https://nodejs.org"}`,
  };
}

function sharedMemory(): Finding {
  const there = libc() !== undefined;
  const detail = there
    ? "memfd and mmap by koffi"
    : `koffi has no binary for ${process.platform}-${process.arch}: objects lie in files, which is slower`;
  return { what: "shared memory", state: there ? "good" : "warning", detail };
}

function freeSpace(path: string, gib: number): Finding {
  try {
    const { bavail, bsize } = statfsSync(path);
    const free = (bavail * bsize) / GIB;
    const few = free < gib;
    const detail = `${free.toFixed(1)} GiB free${few ? `; below ${gib} GiB large objects may not fit: free some, or give it more` : ""}`;
    return { what: path, state: few ? "warning" : "good", detail };
  } catch {
    return { what: path, state: "warning", detail: "it is not there: objects lie in the session's folder instead" };
  }
}

function folder(path: string): Finding {
  try {
    accessSync(path, constants.W_OK);
    return { what: path, state: "good", detail: "the cluster's folder can be written" };
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === "ENOENT";
    return absent
      ? { what: path, state: "good", detail: "no cluster has been here; it is made by: mobula start --head" }
      : {
          what: path,
          state: "missing",
          detail: `${(error as Error).message}: change its owner, or name another by MOBULA_HOME`,
        };
  }
}

function processors(): Finding {
  return { what: "processors", state: "good", detail: `${availableParallelism()} CPUs, ${countGpus()} GPUs` };
}
