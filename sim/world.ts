/** What everything in one simulation shares: time, chance, the network, the memory that all processes see, and the history. */
import type { ActorId, ObjectId, ProcessId } from "../src/protocol/ids.ts";
import { ClaimMemory } from "./claims.ts";
import { Clock } from "./clock.ts";
import { rootOf } from "./config.ts";
import type { SimConfig } from "./config.ts";
import { History } from "./history.ts";
import { Network } from "./network.ts";
import { NO_PLANT } from "./plant.ts";
import type { Plant } from "./plant.ts";
import { SimProcess } from "./process.ts";
import { Rng } from "./rng.ts";
import { StoreMemory } from "./store.ts";
import { Trace } from "./trace.ts";
import type { SimWorker } from "./worker.ts";

/** A promise was broken: the seed has failed. `about` are the ids whose story is to be told. */
export class Broken extends Error {
  readonly about: readonly string[];

  constructor(message: string, about: readonly string[] = []) {
    super(message);
    this.name = "Broken";
    this.about = about;
  }
}

export class World {
  readonly config: SimConfig;
  readonly rng: Rng;
  readonly clock = new Clock();
  readonly trace: Trace;
  readonly network: Network;
  readonly claims = new ClaimMemory();
  readonly memory = new StoreMemory();
  readonly history: History;
  readonly plant: Plant;
  readonly workers = new Map<ProcessId, SimWorker>();
  /** Called after every step of a machine, to check it. */
  readonly checks: (() => void)[] = [];
  /** Whether the node counts anybody who holds it. */
  isHeld: (id: ObjectId | ActorId) => boolean = () => false;
  #claimBlocks = 0;

  constructor(config: SimConfig, plant: Plant | undefined, stories: boolean) {
    this.config = config;
    this.plant = plant ?? NO_PLANT;
    this.rng = new Rng(`simulation ${rootOf(config.seed).root}`);
    this.trace = new Trace(stories);
    this.history = new History(this);
    this.network = new Network(this.clock, this.rng.fork("network"), config.network, this.trace);
  }

  process(id: ProcessId): SimProcess {
    const process = new SimProcess(id, this.clock);
    process.onDeath = (abrupt) => {
      this.tell(() => `${id} dies${abrupt ? " abruptly" : ""}`);
      this.trace.text(`dead ${id}`);
      this.network.died(process, abrupt);
    };
    return process;
  }

  /** A range of claim blocks for a new process. */
  claimRange(): number {
    const first = this.#claimBlocks;
    this.#claimBlocks += this.config.claimBlocks;
    return first;
  }

  tell(line: () => string): void {
    this.trace.tell(this.clock.now, line);
  }
}
