/**
 * What a node needs that a program brings to a cluster where none runs for it: the token, how other machines reach this one, and the
 * certificates. Loaded only by programs that bring one.
 */
import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { ConnectionError, explain } from "../../errors/index.ts";
import type { ClusterConfig } from "../daemon/config.ts";
import { checkNamed, findToken, homeFolder, isLoopbackHost, jobOfToken, parseAddress, Secret, tlsFolder } from "../network/index.ts";

/**
 * Rejects with what is missing. A token without a file goes to the node by its stdin. On loopback nothing more is needed; to other machines
 * a node joins with TLS only, so that its program opens no hole in the cluster.
 */
export async function joining(address: string, given: string | undefined): Promise<{ cluster: ClusterConfig; token?: string }> {
  const control = address.split(",").map((each) => each.trim());
  const { host, tlsDir } = await placeFor(address, control);
  const found = given === undefined ? findToken() : { token: new Secret(given), from: "init" };
  if (found === undefined) {
    const todo = "Copy the head's token file here and name it by MOBULA_TOKEN_FILE, or set MOBULA_TOKEN, or pass init({ token })";
    throw refusal(address, "", "there is no token for it", todo);
  }
  const submitted = jobOfToken(found.token.expose());
  if (submitted !== undefined) {
    const why = `its token is that of job ${submitted}, which admits no nodes; drivers of a job join by the node that runs it`;
    const todo = "Leave MOBULA_HOME, MOBULA_ADDRESS and MOBULA_TOKEN_FILE in the job's environment as they are";
    throw refusal(address, " by a node of this program", why, todo);
  }
  const cluster = { control, host, port: 0, ...(tlsDir === undefined ? {} : { tlsDir }) };
  return isAbsolute(found.from) ? { cluster: { ...cluster, tokenFile: found.from } } : { cluster, token: found.token.expose() };
}

/** How others reach the node, and the folder of its certificates. */
async function placeFor(address: string, control: readonly string[]): Promise<{ host: string; tlsDir: string | undefined }> {
  const near = await Promise.all(control.map((each) => isLoopbackHost(parseAddress(each).host)));
  const named = process.env["MOBULA_HOST"] ?? "";
  if (!near.includes(false)) return { host: named === "" ? "127.0.0.1" : named, tlsDir: tlsFolder() };
  const elsewhere = "no node of it runs here for this user, it is on other machines, and";
  const orStart = `or start a node here: mobula start --address ${address} --host HOST --tls-dir FOLDER`;
  if (named === "" || (await isLoopbackHost(named))) {
    const unsaid = named === "" ? "it is not said how they reach this one" : `they do not reach this one by ${named}`;
    const todo = `Set MOBULA_HOST to the name or address of this machine; ${orStart}`;
    throw refusal(address, " from this machine", `${elsewhere} ${unsaid}`, todo);
  }
  const tlsDir = tlsFolder() ?? ownCertificates();
  if (tlsDir !== undefined) {
    checkNamed(tlsDir, named);
    return { host: named, tlsDir };
  }
  const todo = `Make them by mobula ca create with the cluster's authority, and name their folder by MOBULA_TLS_DIR; ${orStart}`;
  throw refusal(address, " from this machine", `${elsewhere} there are no certificates for this one`, todo);
}

/** Where `mobula ca create` puts them. */
function ownCertificates(): string | undefined {
  const folder = join(homeFolder(), "tls");
  return existsSync(join(folder, "node.pem")) ? folder : undefined;
}

function refusal(address: string, how: string, why: string, todo: string): ConnectionError {
  return new ConnectionError(explain(`The cluster at ${address} cannot be joined${how}`, why, todo), { address });
}
