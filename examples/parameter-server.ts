/**
 * A parameter server: an actor holds the weights, four workers hold a part of the data each. In every round each worker
 * computes a gradient from the same weights, and the server applies them together.
 */
import * as ray from "mobula";

const TRUE_WEIGHTS = [2, -3, 0.5];
const ROWS = 200;

/** Numbers that look random and are the same in every run. */
function* noise(seed: number): Generator<number, never> {
  for (let x = seed; ;) {
    x = (x * 1_103_515_245 + 12_345) % 2_147_483_648;
    yield x / 1_073_741_824 - 1;
  }
}

class ParameterServer {
  #weights: Float64Array;
  constructor(size: number) {
    this.#weights = new Float64Array(size);
  }
  apply(rate: number, ...gradients: Float64Array[]) {
    for (const gradient of gradients) gradient.forEach((g, i) => (this.#weights[i]! -= (rate * g) / gradients.length));
    return this.#weights;
  }
  weights() {
    return this.#weights;
  }
}

class Worker {
  #rows: Array<{ x: number[]; y: number }> = [];
  constructor(seed: number) {
    const random = noise(seed);
    for (let i = 0; i < ROWS; i++) {
      const x = TRUE_WEIGHTS.map(() => random.next().value);
      this.#rows.push({ x, y: x.reduce((sum, value, j) => sum + value * TRUE_WEIGHTS[j]!, 0) });
    }
  }
  /** The gradient of the mean squared error of a linear model over this worker's rows. */
  gradient(weights: Float64Array) {
    const gradient = new Float64Array(weights.length);
    for (const { x, y } of this.#rows) {
      const error = x.reduce((sum, value, j) => sum + value * weights[j]!, 0) - y;
      x.forEach((value, j) => (gradient[j]! += (2 * error * value) / ROWS));
    }
    return gradient;
  }
}

const server = ray.remote(ParameterServer).remote(TRUE_WEIGHTS.length);
const RemoteWorker = ray.remote(Worker);
const workers = [1, 2, 3, 4].map((seed) => RemoteWorker.remote(seed));

// Only references pass through here: gradients go from the workers to the server, weights from the server to the workers.
let weights = server.weights.remote();
for (let round = 1; round <= 30; round++) {
  const gradients = workers.map((worker) => worker.gradient.remote(weights));
  weights = server.apply.remote(0.5, ...gradients);
  if (round % 10 === 0) {
    const shown = [...(await ray.get(weights))].map((w) => w.toFixed(3));
    console.log(`round ${round}: ${shown.join(" ")}`);
  }
}

await ray.shutdown();
