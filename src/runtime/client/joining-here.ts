/**
 * What a program says of itself that joins by a node which runs on its machine already: the token that it names must be that node's, and
 * what only a new node could have is refused rather than ignored. Loaded by every
 * program that has such a node: it imports next to nothing.
 */
import { ConnectionError, InvalidOptionError, explain } from "../../errors/index.ts";
import type { EngineOptions } from "../engine.ts";
import { jobOfToken, Secret, tokenMark } from "../network/secret.ts";
import { findToken } from "../network/token-file.ts";
import type { NodeHere } from "./nodes-here.ts";

const OF_A_NODE = ["numCpus", "numGpus", "resources", "objectStoreMemory"] as const;

/** `submitted`: the job that has started this program. Throws what is to be told. */
export function checkHere(here: NodeHere, address: string, options: EngineOptions, submitted: string | undefined): void {
  for (const option of OF_A_NODE) {
    const value = options[option];
    // None is what it brings anyhow.
    if (value === undefined || value === 0 || (typeof value === "object" && Object.keys(value).length === 0)) continue;
    const why = `The program joins by the node that runs on its machine, ${here.nodeId}, which has resources of its own`;
    const todo =
      `Leave ${option} out; or start another node with it, by mobula start --address ${address}; ` +
      `or pass address: "local" for a cluster of the program's own`;
    throw new InvalidOptionError(explain(`init({ ${option} }) has no place in the cluster at ${address}`, why, todo), { option, value });
  }
  const named = namedToken(options.token, submitted);
  if (named === undefined || here.tokenMark === undefined || tokenMark(named.token, here.nodeId) === here.tokenMark) return;
  const job = jobOfToken(named.token.expose());
  if (job !== undefined && job === submitted) return;
  const todo = "Leave it out: a program needs none beside a node of its own user; or take the token in the folder of the cluster's head";
  const whose = job === undefined ? "not that of this cluster" : `that of job ${job}, and this is no part of it`;
  const why = `The token in ${named.from} is ${whose}`;
  throw new ConnectionError(explain(`The cluster at ${address} refuses this program`, why, todo), { address, reason: "token" });
}

/** Only one that somebody has named: what lies in the folder may be of another cluster. An entry point's is named for it. */
function namedToken(given: string | undefined, submitted: string | undefined): { token: Secret; from: string } | undefined {
  if (given !== undefined) return { token: new Secret(given), from: "init({ token })" };
  const { MOBULA_TOKEN = "", MOBULA_TOKEN_FILE = "" } = process.env;
  return submitted !== undefined || `${MOBULA_TOKEN}${MOBULA_TOKEN_FILE}` === "" ? undefined : findToken();
}
