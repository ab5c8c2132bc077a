/**
 * The port on which a worker of a cluster meets owners on other machines. Each worker has a ticket of its own, which its node hands to
 * those that are to give it work; it opens this worker and nothing else.
 */
import type { ProcessId } from "../../protocol/ids.ts";
import type { Reach } from "../../protocol/messages.ts";
import type { WorkerReach } from "../daemon/config.ts";
import type { Caller } from "../network/dial.ts";
import { listen } from "../network/listen.ts";
import type { Listener } from "../network/listen.ts";
import { Secret, ticketCredential } from "../network/secret.ts";

/** Listens, and returns how this worker is reached. `accept` gets the proven connections of owners. */
export async function reachable(
  processId: ProcessId,
  { host, bind = host, clusterId = "", tls }: WorkerReach,
  accept: (owner: Caller) => void,
  log: (line: string) => void = (line) => void process.stderr.write(`${line}\n`),
): Promise<{ reach: Reach; listener: Listener }> {
  const ticket = Secret.random();
  const listener = await listen({
    host: bind,
    port: 0,
    credentials: ticketCredential(ticket, processId),
    clusterId,
    self: { role: "worker", id: processId, incarnation: 0 },
    onConnection: (caller) => {
      const { role, purpose } = caller.peer;
      if (role === "owner" && purpose === "owner") accept(caller);
      else caller.refuse(`a worker has nothing for a ${role} with that purpose`);
    },
    // Whether a cluster may be without TLS is decided where its daemons listen.
    ...(tls ? { tls: "credential" } : { insecure: true }),
    log,
  });
  return { reach: { host, port: listener.port, ticket: ticket.expose(), tls }, listener };
}
