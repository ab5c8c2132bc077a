/**
 * The nodes of clusters that this user runs on this machine: each has a file in the folder of its cluster, for programs and commands to
 * find it by. Nothing secret is in it, and nothing here is loaded by a program that is its own cluster.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeId } from "../../protocol/ids.ts";
import { homeFolder } from "../network/home.ts";
import { startOf } from "../environments/process-marks.ts";

export interface NodeHere {
  readonly nodeId: NodeId;
  readonly pid: number;
  /** When that process was started, as the kernel counts: a pid lives twice. */
  readonly started: string;
  readonly socket: string;
  readonly sessionDir: string;
  readonly clusterId: string;
  /** By which a program knows whether a token is this cluster's (joining-here.ts). */
  readonly tokenMark?: string;
  /** Where its control is or may be, `host:port`. */
  readonly control: readonly string[];
  /** Where other nodes reach it. */
  readonly address: string;
  readonly head: boolean;
  /** Where the control that this node keeps running serves, or waits to lead. */
  readonly keeps?: string;
  /** Of the head: where the HTTP API is. */
  readonly dashboardUrl?: string;
}

const folderOf = (home: string): string => join(home, "nodes");

export function writeNodeFile(home: string, node: NodeHere): string {
  const folder = folderOf(home);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${node.nodeId}.json`);
  writeFileSync(`${path}.new`, `${JSON.stringify(node, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return path;
}

/** Those that live. Files of dead ones are removed. */
export function nodesHere(home: string = homeFolder()): NodeHere[] {
  const found: NodeHere[] = [];
  let names: string[];
  try {
    names = readdirSync(folderOf(home)).filter((name) => name.endsWith(".json"));
  } catch {
    return [];
  }
  for (const name of names) {
    const path = join(folderOf(home), name);
    try {
      const node = JSON.parse(readFileSync(path, "utf8")) as NodeHere;
      if (startOf(node.pid) === node.started) found.push(node);
      else rmSync(path, { force: true });
    } catch {
      continue; // It is being removed, or was cut: the next daemon writes its own.
    }
  }
  return found;
}

/** A node here of the cluster whose control is at that address; the head first. */
export function nodeOf(address: string, home?: string): NodeHere | undefined {
  const wanted = address.split(",").map((each) => each.trim());
  const nodes = nodesHere(home).filter(({ control }) => control.some((each) => wanted.includes(each)));
  return nodes.find(({ head }) => head) ?? nodes[0];
}
