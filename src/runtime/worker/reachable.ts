/**
 * The port on which a worker of a cluster meets owners on other machines. Each worker has a ticket of its own, which its node hands to
 * those that are to give it work; it opens this worker and nothing else.
 */
import type { Socket } from "node:net";
import type { ProcessId } from "../../protocol/ids.ts";
import type { Reach } from "../../protocol/messages.ts";
import type { WorkerReach } from "../daemon/config.ts";
import { listen } from "../network/listen.ts";
import { Secret, ticketCredential } from "../network/secret.ts";

/** Listens, and returns how this worker is reached. `accept` gets the proven sockets of owners. */
export async function reachable(
  processId: ProcessId,
  { host, bind = host, clusterId = "", tls }: WorkerReach,
  accept: (socket: Socket) => void,
): Promise<Reach> {
  const ticket = Secret.random();
  const { port } = await listen({
    host: bind,
    port: 0,
    credentials: ticketCredential(ticket, processId),
    clusterId,
    self: { role: "worker", id: processId, incarnation: 0 },
    onConnection: ({ socket, peer }) => {
      if (peer.role === "owner" && peer.purpose === "owner") accept(socket);
      else socket.destroy();
    },
    // Whether a cluster may be without TLS is decided where its daemons listen.
    ...(tls ? { tls: "credential" } : { insecure: true }),
    log: (line) => void process.stderr.write(`${line}\n`),
  });
  return { host, port, ticket: ticket.expose(), tls };
}
