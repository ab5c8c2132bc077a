/** What tests of the network share: listeners and dials with short times, all ended after the test. */
import net from "node:net";
import type { AddressInfo, Socket } from "node:net";
import type { TestContext } from "node:test";
import { dial, listen, Secret, tokenCredential } from "../../src/runtime/network/index.ts";
import type { Authenticated, DialOptions, Listener, ListenOptions } from "../../src/runtime/network/index.ts";
import { ConnectionError } from "../../src/errors/index.ts";
import type { ConnectionReason } from "../../src/errors/index.ts";

export const token = Secret.random();

/** A listener on a port of its own, and what has connected. */
export async function port(
  t: TestContext,
  options: Partial<ListenOptions> = {},
): Promise<{ listener: Listener; met: Authenticated[]; lines: string[] }> {
  const met: Authenticated[] = [];
  const lines: string[] = [];
  const listener = await listen({
    host: "127.0.0.1",
    port: 0,
    credentials: tokenCredential(token),
    clusterId: "c1",
    self: { role: "node", id: "n1", incarnation: 7 },
    onConnection: (connection) => void met.push(connection),
    log: (line) => void lines.push(line),
    ...options,
  });
  t.after(() => {
    listener.close();
    for (const { socket } of met) socket.destroy();
  });
  return { listener, met, lines };
}

export async function call(t: TestContext, to: number, options: Partial<DialOptions> = {}): Promise<Authenticated> {
  const connection = await dial({
    host: "127.0.0.1",
    port: to,
    credentials: tokenCredential(token),
    self: { role: "node", id: "n2", incarnation: 3 },
    purpose: "test",
    timeoutMs: 2_000,
    ...options,
  });
  t.after(() => void connection.socket.destroy());
  return connection;
}

/** A port that does what it is told with each connection. */
export async function strangePort(t: TestContext, act: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    act(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** For `assert.rejects`: a ConnectionError with this reason, in one line that holds these words. */
export const because =
  (reason: ConnectionReason, ...words: readonly (string | RegExp)[]) =>
  (error: unknown): boolean => {
    if (!(error instanceof ConnectionError)) throw error;
    const fits = error.reason === reason && !error.message.includes("\n") && words.every((word) => new RegExp(word).test(error.message));
    if (!fits) throw new Error(`not because of "${reason}" ${words.join(" ")}: ${error.reason}: ${error.message}`);
    return true;
  };
