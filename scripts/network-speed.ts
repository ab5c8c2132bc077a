/**
 * Prints how fast small messages go over a link between machines, beside a plain connection over a Unix socket, in pairs of
 * rounds in one process; asserts nothing. Run: node --import tsx scripts/network-speed.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { LeaseId } from "../src/protocol/ids.ts";
import { createAuthority, issueCertificate, LinkHub, listen, loadTls, Secret, tokenCredential } from "../src/runtime/network/index.ts";
import type { TlsMaterial } from "../src/runtime/network/index.ts";
import { Connection } from "../src/runtime/transport/connection.ts";

const MESSAGES = 200_000;
const ROUNDS = 7;
const TURN = 500;

const folder = mkdtempSync(path.join(tmpdir(), "mobula-speed-"));
const body = { leaseId: "a1b2c3d4e5f6-123-4" as LeaseId, retire: false };
let arrived = 0;
let done = (): void => {};
const count = (): void => {
  if (++arrived === MESSAGES) done();
};

interface Way {
  readonly name: string;
  readonly send: () => void;
  readonly close: () => void;
}

/** Messages a second, in thousands. */
async function round({ send }: Way): Promise<number> {
  arrived = 0;
  const all = new Promise<void>((resolve) => (done = resolve));
  const start = performance.now();
  for (let i = 1; i <= MESSAGES; i++) {
    send();
    if (i % TURN === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await all;
  return MESSAGES / (performance.now() - start);
}

async function plainWay(name: string, at: { path: string } | { host: string; port: number }): Promise<Way> {
  const server = createServer((socket) => void new Connection(socket, { message: count, closed: () => {} }));
  await new Promise<void>((resolve) => server.listen(at, resolve));
  const to = "path" in at ? at : { host: at.host, port: (server.address() as { port: number }).port };
  const socket = await new Promise<Socket>((resolve) => {
    const opened = connect(to, () => resolve(opened));
  });
  const connection = new Connection(socket, { message: () => {}, closed: () => {} });
  const close = (): void => {
    connection.destroy();
    server.close();
  };
  return { name, send: () => connection.send("leaseReturn", body), close };
}

async function linkWay(name: string, tls?: TlsMaterial): Promise<Way> {
  const credentials = tokenCredential(Secret.random());
  const secured = tls === undefined ? {} : { tls };
  const hub = (id: string): LinkHub =>
    new LinkHub({ self: { role: "node", id, incarnation: 1 }, clusterId: "c", credentials, onMessage: count, ...secured });
  const [from, to] = [hub("a"), hub("b")];
  const onConnection = to.accept.bind(to);
  const self = { role: "node", id: "b", incarnation: 1 } as const;
  const listener = await listen({ host: "127.0.0.1", port: 0, credentials, clusterId: "c", self, onConnection, ...secured });
  const link = from.link("b", { host: "127.0.0.1", port: listener.port });
  const close = (): void => {
    from.close();
    to.close();
    listener.close();
  };
  return { name, send: () => void link.send("leaseReturn", body), close };
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

try {
  createAuthority(path.join(folder, "tls"));
  issueCertificate(path.join(folder, "tls"));
  const ways = [
    await plainWay("connection over a Unix socket", { path: path.join(folder, "s") }),
    await plainWay("connection over loopback TCP", { host: "127.0.0.1", port: 0 }),
    await linkWay("link over loopback TCP"),
    await linkWay("link over loopback TLS", loadTls(path.join(folder, "tls"))),
  ];
  const rates = ways.map((): number[] => []);
  for (const way of ways) await round(way);
  for (let n = 0; n < ROUNDS; n++) for (const [i, way] of ways.entries()) rates[i]!.push(await round(way));
  for (const [i, { name, close }] of ways.entries()) {
    const ratio = median(rates[i]!.map((rate, n) => rate / rates[0]![n]!));
    console.log(
      `  ${name.padEnd(34)}${median(rates[i]!).toFixed(0).padStart(7)} thousand/s ${ratio.toFixed(2).padStart(6)} of the Unix socket`,
    );
    close();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
