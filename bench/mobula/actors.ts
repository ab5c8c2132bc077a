/** Loops of actor calls: Ray's A12 to A22. */
import * as ray from "mobula";
import type { LoopMaker, Loops } from "../definitions.ts";
import { cluster } from "./cluster.ts";

class Actor {
  smallValue(): string {
    return "ok";
  }
  smallValueArg(_x: unknown): string {
    return "ok";
  }
}

class AsyncActor {
  smallValue(): Promise<string> {
    return Promise.resolve("ok");
  }
  smallValueArg(_x: unknown): Promise<string> {
    return Promise.resolve("ok");
  }
}

/** What both have: the loops do not care which one they call. */
type Server = ray.ActorHandle<Actor> | ray.ActorHandle<AsyncActor>;
type Kind = "plain" | "async";

/** Ray's plain actors take no CPU, its asynchronous ones the default. */
function newServer(kind: Kind, maxConcurrency?: number): Server {
  if (kind === "async") return ray.remote(AsyncActor).remote();
  return ray.remote(Actor, { numCpus: 0, ...(maxConcurrency === undefined ? {} : { maxConcurrency }) }).remote();
}

const call = (server: Server): ray.ObjectRef<string> => (server as ray.ActorHandle<Actor>).smallValue.remote();
const callWith = (server: Server, x: unknown): ray.ObjectRef<string> => (server as ray.ActorHandle<Actor>).smallValueArg.remote(x);

const servers = (kind: Kind, count: number): Server[] => Array.from({ length: count }, () => newServer(kind));
const killAll = (handles: readonly ray.ActorHandle<object>[]): Promise<unknown> => Promise.all(handles.map((handle) => ray.kill(handle)));

const oneByOne =
  (kind: Kind): LoopMaker =>
  async () => {
    await cluster();
    const server = newServer(kind);
    return { once: () => ray.get(call(server)), close: () => ray.kill(server) };
  };

const batch =
  (kind: Kind, settings: { maxConcurrency?: number; withArgument?: boolean } = {}): LoopMaker =>
  async (size) => {
    await cluster();
    const server = newServer(kind, settings.maxConcurrency);
    const count = size(1000);
    const once = (): Promise<unknown> => {
      const refs: ray.ObjectRef<string>[] = [];
      for (let i = 0; i < count; i++) refs.push(settings.withArgument === true ? callWith(server, i) : call(server));
      return ray.get(refs);
    };
    return { once, close: () => ray.kill(server) };
  };

/** An actor that calls other actors. */
class Client {
  readonly #servers: readonly Server[];
  constructor(list: readonly Server[]) {
    this.#servers = list;
  }
  /** `count` calls to each server, server by server. */
  async run(count: number): Promise<void> {
    const refs: ray.ObjectRef<string>[] = [];
    for (const server of this.#servers) for (let i = 0; i < count; i++) refs.push(call(server));
    await ray.get(refs);
  }
  /** `count` calls to each server with a reference as the argument. */
  async runWithRef(count: number): Promise<void> {
    const x = ray.put(0);
    const refs: ray.ObjectRef<string>[] = [];
    for (const server of this.#servers) for (let i = 0; i < count; i++) refs.push(callWith(server, x));
    await ray.get(refs);
  }
}

const newClient = (list: readonly Server[]): ray.ActorHandle<Client> => ray.remote(Client, { numCpus: 0 }).remote(list);

/** One actor calls `count` others, 5000 times each. */
const oneToMany =
  (kind: Kind, count: number): LoopMaker =>
  async (size) => {
    await cluster();
    const list = servers(kind, count);
    const client = newClient(list);
    return { once: () => ray.get(client.run.remote(size(5000))), close: () => killAll([client, ...list]) };
  };

/** Four tasks call `count` actors in turn, 5000 calls each. */
const manyToMany =
  (kind: Kind, count: number): LoopMaker =>
  async (size) => {
    await cluster();
    const list = servers(kind, count);
    const work = ray.remote(async (calls: number) => {
      const refs: ray.ObjectRef<string>[] = [];
      for (let i = 0; i < calls; i++) refs.push(call(list[i % list.length]!));
      await ray.get(refs);
    });
    const once = (): Promise<unknown> => ray.get(Array.from({ length: 4 }, () => work.remote(size(5000))));
    return { once, close: () => killAll(list) };
  };

/** As many clients as servers, each with its own, 1000 calls with a reference each. */
const pairs =
  (count: number): LoopMaker =>
  async (size) => {
    await cluster();
    const list = servers("plain", count);
    const clients = list.map((server) => newClient([server]));
    const once = (): Promise<unknown> => ray.get(clients.map((client) => client.runWithRef.remote(size(1000))));
    return { once, close: () => killAll([...clients, ...list]) };
  };

export const loops: Loops = {
  A12: oneByOne("plain"),
  A13: batch("plain"),
  A14: batch("plain", { maxConcurrency: 16 }),
  A15: oneToMany("plain", 1),
  A15x4: oneToMany("plain", 4),
  A16: manyToMany("plain", 1),
  A16x4: manyToMany("plain", 4),
  A17: pairs(1),
  A17x4: pairs(4),
  A18: oneByOne("async"),
  A19: batch("async"),
  A20: batch("async", { withArgument: true }),
  A21: oneToMany("async", 1),
  A21x4: oneToMany("async", 4),
  A22: manyToMany("async", 1),
  A22x4: manyToMany("async", 4),
};
