/**
 * Addresses as users write them, `HOST:PORT` or `[IPV6]:PORT`, and which of them only this machine can reach.
 */
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { InvalidOptionError, explain } from "../../errors/index.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Whether an IP address is one that only this machine can reach. */
export function isLoopback(ip: string): boolean {
  const family = isIP(ip);
  if (family === 0) return false;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1];
  return mapped === undefined ? loopback.check(ip, family === 4 ? "ipv4" : "ipv6") : loopback.check(mapped, "ipv4");
}

/** Whether everything that a host name stands for on this machine is loopback. */
export async function isLoopbackHost(host: string): Promise<boolean> {
  if (isIP(host) !== 0) return isLoopback(host);
  const found = await lookup(host, { all: true }).catch(() => []);
  return found.length > 0 && found.every(({ address }) => isLoopback(address));
}

export function formatAddress({ host, port }: Address): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The address in a text; `option` names where the text was given. */
export function parseAddress(text: string, option = "address"): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < 1 || port > 65_535 || (match?.[1] !== undefined && isIP(host) !== 6)) {
    const what = `${option} is ${JSON.stringify(text.slice(0, 200))}, which is no address`;
    throw new InvalidOptionError(explain(what, undefined, "Write HOST:PORT, such as 10.0.0.5:6380"), { option, value: text });
  }
  return { host, port };
}
