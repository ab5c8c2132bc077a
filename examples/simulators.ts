/**
 * Reinforcement learning in small: four simulators are actors, each plays an episode with the present policy, and a task
 * makes the next policy from all of them, for a hundred steps. The loop passes references and never waits: it
 * describes the whole computation, which runs as far as data allow.
 */
import * as ray from "mobula";

/** The chance to go right in each place of a corridor; the prize lies at its right end. */
type Policy = readonly number[];

interface Rollout {
  readonly visits: ReadonlyArray<readonly [place: number, right: boolean]>;
  readonly reward: number;
}

const PLACES = 6;
const MOVES_MAX = 20;
const STEPS = 100;

class Simulator {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  /** The same numbers in every run: a simulator is an actor because it has such a state. */
  #random() {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state / 2 ** 32;
  }
  rollout(policy: Policy): Rollout {
    const visits: Array<readonly [number, boolean]> = [];
    let place = 0;
    while (place < PLACES && visits.length < MOVES_MAX) {
      const right = this.#random() < policy[place]!;
      visits.push([place, right]);
      place = Math.max(0, place + (right ? 1 : -1));
    }
    return { visits, reward: place === PLACES ? 1 - visits.length / (2 * MOVES_MAX) : 0 };
  }
}

const updatePolicy = ray.remote((policy: Policy, ...rollouts: Rollout[]): Policy => {
  const baseline = rollouts.reduce((sum, { reward }) => sum + reward, 0) / rollouts.length;
  const next = [...policy];
  for (const { visits, reward } of rollouts) {
    for (const [place, right] of visits) {
      const step = 0.05 * (reward - baseline) * (right ? 1 : -1);
      next[place] = Math.min(0.95, Math.max(0.05, next[place]! + step));
    }
  }
  return next;
});

const RemoteSimulator = ray.remote(Simulator);
const simulators = [11, 22, 33, 44].map((seed) => RemoteSimulator.remote(seed));

let policy: ray.ObjectRef<Policy> = ray.put(Array.from({ length: PLACES }, () => 0.5));
const first = simulators.map((simulator) => simulator.rollout.remote(policy));
let rollouts = first;
for (let step = 0; step < STEPS; step++) {
  policy = updatePolicy.remote(policy, ...rollouts);
  rollouts = simulators.map((simulator) => simulator.rollout.remote(policy));
}

const mean = (all: Rollout[]) => all.reduce((sum, { reward }) => sum + reward, 0) / all.length;
console.log(`reward before: ${mean(await ray.get(first)).toFixed(2)}`);
console.log(`reward after ${STEPS} steps: ${mean(await ray.get(rollouts)).toFixed(2)}`);
console.log(`chance to go right: ${(await ray.get(policy)).map((p) => p.toFixed(2)).join(" ")}`);

await ray.shutdown();
