/**
 * The three ports of a cluster in this process: control's, a node's and a worker's, with what stands behind them. What a caller has done
 * there is listed instead of done, or, for the fuzzer, done by the real machines.
 */
import assert from "node:assert/strict";
import { RefTable } from "../../src/core/refs/refs.ts";
import { prefixOf } from "../../src/protocol/ids.ts";
import type { NodeId, ProcessId } from "../../src/protocol/ids.ts";
import { PUSH, REPLY, STREAM_ITEM } from "../../src/protocol/direct.ts";
import { LINK_ACK, LINK_OPEN, LINK_REFUSE, LINK_RESUME } from "../../src/protocol/link.ts";
import { definitions } from "../../src/protocol/messages.ts";
import type { MessageName } from "../../src/protocol/messages.ts";
import { codeOf, encodeBody, HEADER_BYTES } from "../../src/protocol/wire.ts";
import { Member } from "../../src/runtime/cluster/member.ts";
import type { MemberHost } from "../../src/runtime/cluster/member.ts";
import { ControlServer } from "../../src/runtime/control/server.ts";
import type { Role } from "../../src/runtime/network/handshake.ts";
import { CONTROL_ID, createToken, Secret, ticketCredential, tokenCredential } from "../../src/runtime/network/index.ts";
import type { Credential } from "../../src/runtime/network/index.ts";
import { createControlStore, MemoryPlace } from "../../src/runtime/stores/index.ts";
import { OwnerLink } from "../../src/runtime/worker/owner-link.ts";
import { reachable } from "../../src/runtime/worker/reachable.ts";
import { freshFolder } from "../harness/index.ts";
import { exampleOf } from "./examples.ts";

export const CLUSTER = "c1";
export const WORKER = "aaaaaa000001" as ProcessId;
export const NODE = "aaaaaa000000" as NodeId;
export const names = Object.keys(definitions) as MessageName[];

function framed(code: number, body: Uint8Array): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + body.byteLength);
  frame.writeUInt32LE(body.byteLength + 1);
  frame[4] = code;
  frame.set(body, HEADER_BYTES);
  return frame;
}
export const bodies = new Map(names.map((name) => [name, encodeBody(name, exampleOf(definitions[name].shape) as never)]));
export const frameOf = (name: MessageName): Buffer => framed(codeOf(name), bodies.get(name)!);
let attempts = 0;
/** The beginning of a connection of a link: each has a number of its own. */
export function opens(): Buffer[] {
  const counts = Buffer.alloc(16);
  counts.writeDoubleLE(++attempts);
  return [framed(LINK_OPEN, counts)];
}
/** What has a layout of its own: calls, and the counts of links. */
export const direct = new Map(
  [PUSH, REPLY, STREAM_ITEM, LINK_OPEN, LINK_RESUME, LINK_ACK, LINK_REFUSE].map((code) => [code, framed(code, Buffer.alloc(16))]),
);
export const all: readonly Buffer[] = [...names.map(frameOf), ...direct.values()];

export interface Port {
  readonly name: "control" | "node" | "worker";
  readonly port: number;
  readonly right: Credential;
  /** Who has business here, for what, and what is said first. */
  readonly callers: readonly { readonly role: Role; readonly id: string; readonly purpose: string; readonly first: () => Buffer[] }[];
  readonly lines: string[];
  /** What a caller had done here. */
  readonly acted: string[];
}

export const ports: Port[] = [];
const ends: (() => unknown)[] = [];
const folder = freshFolder({ after: (end: () => unknown) => void ends.push(end) } as never);
export const { token, from: tokenFile } = createToken(folder);
export const cluster = tokenCredential(token);

async function control(real: boolean): Promise<void> {
  const [lines, acted]: [string[], string[]] = [[], []];
  const server = await ControlServer.start({
    store: createControlStore({ kind: "memory", memory: new MemoryPlace() }),
    clusterId: CLUSTER,
    credentials: cluster,
    host: "127.0.0.1",
    port: 0,
    log: (line) => void lines.push(line),
    onLost: (error) => assert.fail(error),
  });
  if (!real) server.machine.receive = (_from, name) => void acted.push(name);
  const callers = [{ role: "node", id: NODE, purpose: "link", first: opens }] as const;
  ports.push({ name: "control", port: server.address.port, right: cluster, callers, lines, acted });
  ends.push(() => server.close());
}

/** A node of which only the port and what reads it are there. */
export async function openMember(acted: string[], lines: string[], refs?: RefTable): Promise<Member> {
  const odd: Record<symbol, unknown> = { [Symbol.iterator]: () => [].values(), [Symbol.toPrimitive]: () => 1 };
  const nothing: unknown = new Proxy(() => nothing, { get: (_target, key) => odd[key as symbol] ?? nothing });
  const host: Partial<MemberHost> = {
    nodeId: NODE,
    config: { tokenFile, control: ["127.0.0.1:1"], clusterId: CLUSTER, host: "127.0.0.1", port: 0 },
    node: nothing as MemberHost["node"],
    refs: refs ?? (nothing as MemberHost["refs"]),
    store: nothing as MemberHost["store"],
    event: (run) => run(),
    now: () => 0,
    answer: ({ kind }) => Promise.resolve(acted.push(kind)),
    deliver: (_to, name) => acted.push(name) > 0,
    control: nothing as MemberHost["control"],
    ask: (_question, answer) => answer("{}"),
    readPackage: () => Promise.resolve(undefined),
    fetchPackage: () => Promise.resolve(),
    lives: () => false,
    self: () => nothing as ReturnType<MemberHost["self"]>,
    living: () => nothing as ReturnType<MemberHost["living"]>,
    status: () => ({ free: {}, queued: {}, pending: [], uses: [] }),
    nodeLost: () => {},
    logged: (_from, name) => void acted.push(name),
    news: () => void acted.push("actorNews"),
    answered: () => void acted.push("actorAnswer"),
    processGone: () => {},
    actorOver: () => void acted.push("actorOver"),
    lost: () => {},
    log: (line) => void lines.push(line),
  };
  const member = await Member.open(host as MemberHost);
  member.leases.rebalance = () => {};
  return member;
}

/** The references of one node of many: what it says to others goes nowhere. */
function references(): RefTable {
  const nowhere = (): void => {};
  return new RefTable(
    { send: nowhere, freeStored: nowhere, actorUnheld: nowhere, tell: nowhere, relayCame: nowhere } as never,
    prefixOf(NODE),
  );
}

async function node(real: boolean): Promise<void> {
  const [lines, acted]: [string[], string[]] = [[], []];
  const member = await openMember(acted, lines, real ? references() : undefined);
  if (!real) {
    member.router.receive = (_from, name) => void acted.push(name);
    member.control.receive = (name) => void acted.push(name);
  }
  const callers = [
    { role: "node", id: "bbbbbb000000", purpose: "link", first: opens },
    { role: "control", id: CONTROL_ID, purpose: "link", first: opens },
  ] as const;
  const { port } = new URL(`tcp://${member.address}`);
  ports.push({ name: "node", port: Number(port), right: cluster, callers, lines, acted });
  ends.push(() => member.close());
}

async function worker(): Promise<void> {
  const [lines, acted]: [string[], string[]] = [[], []];
  const links = new Set<OwnerLink>();
  const { reach, listener } = await reachable(
    WORKER,
    { host: "127.0.0.1", clusterId: CLUSTER, tls: false },
    ({ socket, refuse }) => {
      const link: OwnerLink = new OwnerLink(socket, {
        blocks: () => undefined as never,
        openWay: () => ({ came: () => acted.push("refs"), tell: () => {}, end: () => {} }) as never,
        flushNode: () => {},
        keep: (ids) => (acted.push("kept"), ids.map((id) => ({ id }))),
        shared: () => acted.push("shared"),
        isOrphaned: () => false,
        actorHolds: () => ({ assigned: {}, gpuIds: [] }),
        arrived: () => acted.push("push"),
        drain: () => {
          // What an honest owner says is what is seen here.
          if (link.way !== undefined) acted.push("heard");
        },
        refused: refuse,
        outlives: () => false,
        linkClosed: () => {
          links.delete(link);
          if (link.way === undefined && link.channels.size + link.definitions.size > 0) acted.push("kept by a stranger");
        },
      });
      links.add(link);
    },
    (line) => void lines.push(line),
  );
  const right = ticketCredential(new Secret(reach.ticket), WORKER);
  const hello = frameOf("directHello");
  const callers = [{ role: "owner", id: "bbbbbb000001", purpose: "owner", first: () => [hello] }] as const;
  ports.push({ name: "worker", port: reach.port, right, callers, lines, acted });
  ends.push(() => listener.close());
}

/** Opens all three. `real`: what comes is done by the machines of control and of references. */
export async function openPorts(real: boolean): Promise<void> {
  await control(real);
  await node(real);
  await worker();
}

export async function closePorts(): Promise<void> {
  for (const end of ends.splice(0).reverse()) await end();
}
