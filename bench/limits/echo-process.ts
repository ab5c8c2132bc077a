/**
 * A process of the raw limit: `node echo-process.ts SOCKET`. It answers every message with "ok", and one that is an order with "ok" as soon
 * as it has made the calls of the order to other echo processes: that is how one process, or four, load others.
 */
import net from "node:net";
import { Caller, Channel } from "./channel.ts";

/** Calls to make: to each server in turn, or a round robin over all. */
export interface Order {
  readonly servers: readonly string[];
  readonly calls: number;
  readonly roundRobin: boolean;
}

const connections = new Map<string, Promise<Caller>>();

function callerOf(server: string): Promise<Caller> {
  let caller = connections.get(server);
  if (caller === undefined) connections.set(server, (caller = Caller.connect(server)));
  return caller;
}

async function carryOut(order: Order): Promise<void> {
  const callers = await Promise.all(order.servers.map(callerOf));
  const answers: Promise<unknown>[] = [];
  if (order.roundRobin) {
    for (let i = 0; i < order.calls; i++) answers.push(callers[i % callers.length]!.call("x"));
  } else {
    for (const caller of callers) for (let i = 0; i < order.calls; i++) answers.push(caller.call("x"));
  }
  await Promise.all(answers);
}

function receive(id: number, body: unknown, channel: Channel): void {
  if (typeof body === "object" && body !== null) void carryOut(body as Order).then(() => channel.send(id, "ok"));
  else channel.send(id, "ok");
}

const server = net.createServer((socket) => new Channel(socket, receive));
server.listen(process.argv[2], () => process.send?.("listening"));
// The parent is gone, or wants this to end.
process.on("disconnect", () => process.exit(0));
