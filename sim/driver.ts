/** A simulated driver process: an owner that runs workloads. */
import type { JobId, ProcessId } from "../src/protocol/ids.ts";
import { SimClient } from "./client.ts";
import type { SimNode } from "./node.ts";
import type { SimProcess } from "./process.ts";
import { Context } from "./program.ts";
import type { Program } from "./program.ts";
import type { Shared } from "./values.ts";
import type { World } from "./world.ts";
import { Broken } from "./world.ts";

export class SimDriver {
  readonly process: SimProcess;
  readonly client: SimClient;
  readonly #contexts = new Map<string, Context>();

  constructor(world: World, node: SimNode, index: number) {
    const id = `dddddddddd0${index}` as ProcessId;
    const jobId = `job${index}` as JobId;
    this.process = world.process(id);
    this.client = new SimClient(world, this.process, jobId);
    this.client.roots = () => this.#roots();
    const end = world.network.connect(this.process, node.process, (far) => node.accept(far));
    end.handler = {
      message: (name, body) => this.client.message(name, body),
      batchEnd: () => this.client.batchEnd(),
      closed: () => {
        throw new Broken(`driver ${id} was cut off by the node`, [id]);
      },
    };
    this.client.node = end;
    end.send("driverHello", { processId: id, jobId, pid: 1, namespace: "sim", logToDriver: false });
  }

  /** Workloads that have not ended. */
  get running(): string[] {
    return [...this.#contexts.keys()];
  }

  start(name: string, make: (context: Context) => Program): void {
    const context = new Context(this.client, name);
    this.#contexts.set(name, context);
    this.process.post(() =>
      context.start(make(context), (answer) => {
        this.#contexts.delete(name);
        if ("error" in answer) throw new Broken(`workload ${name} failed: ${answer.error.code}: ${answer.error.message}`);
      }),
    );
  }

  #roots(): Shared[] {
    return [...this.#contexts.values()].flatMap((context) => [...context.scope]);
  }
}
