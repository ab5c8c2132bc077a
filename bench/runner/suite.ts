/** Runs rows: every contender of a row in turn, round after round, each in a process that lives as long as its area is measured. */
import type { ContenderInfo } from "../contenders.ts";
import { moreIsBetter } from "../definitions.ts";
import type { ContenderName, Effort, Row, Unit } from "../definitions.ts";
import { Driver } from "./driver.ts";
import type { Answer } from "./serve.ts";

export interface SuiteOptions {
  readonly effort: Effort;
  readonly rounds: number;
  /** How long a round lasts, at least. */
  readonly seconds: number;
  readonly warmSeconds: number;
}

/** What a contender did in a row: a figure of each round, in the unit of the row, or why there is none. */
export interface Measured {
  readonly values: readonly number[];
  readonly failed?: string;
}

export interface RowResult {
  readonly row: Row;
  readonly results: ReadonlyMap<ContenderName, Measured>;
}

const PER_SECOND: Readonly<Record<Unit, number>> = { "per s": 1, "GB/s": 1, us: 1e6, ms: 1e3, s: 1, MB: 1, bytes: 1, "%": 1 };

/** The figure of a round, in the unit of the row. */
export function figureOf(row: Row, { value, calls, seconds }: Answer): number {
  if (value !== undefined) return value;
  if (calls === undefined || seconds === undefined) throw new Error(`${row.id}: the answer holds no figure`);
  const units = calls * row.perCall;
  return moreIsBetter(row.unit) ? units / seconds : (seconds / units) * PER_SECOND[row.unit];
}

/** A contender that needs longer than this to warm up is measured by its warm-up alone: four rounds more would take an hour. */
const WARM_UP_MS = 10_000;

/** More of a warm-up, while each round is a tenth better than the one before, six at most: ten processes compile for long. */
const WARM_ROUNDS = 6;

export async function warmUp(row: Row, first: Answer, round: () => Promise<Answer>): Promise<void> {
  let last = figureOf(row, first);
  for (let i = 0; i < WARM_ROUNDS; i++) {
    const next = figureOf(row, await round());
    const gain = moreIsBetter(row.unit) ? next / last : last / next;
    if (gain < 1.1) return;
    last = next;
  }
}

/** The contenders of a call, started when first needed. */
export class Suite {
  readonly #infos: ReadonlyMap<ContenderName, ContenderInfo>;
  readonly #options: SuiteOptions;
  readonly #say: (line: string) => void;
  readonly #drivers = new Map<ContenderName, Driver>();

  constructor(infos: ReadonlyMap<ContenderName, ContenderInfo>, options: SuiteOptions, say: (line: string) => void) {
    this.#infos = infos;
    this.#options = options;
    this.#say = say;
  }

  /** `sofar` is told after each row: a run of many minutes that is cut short has not been for nothing. */
  async run(rows: readonly Row[], sofar: (results: readonly RowResult[]) => void = () => undefined): Promise<RowResult[]> {
    const results: RowResult[] = [];
    let area: string | undefined;
    for (const row of rows) {
      // Fresh processes for each area: what one leaves behind in a heap is not the next one's cost.
      if (area !== undefined && row.area !== area) await this.end();
      area = row.area;
      results.push(await this.#runRow(row));
      sofar(results);
    }
    await this.end();
    return results;
  }

  /** Ends every contender's process. */
  async end(): Promise<void> {
    const drivers = [...this.#drivers.values()];
    this.#drivers.clear();
    await Promise.all(drivers.map((driver) => driver.end()));
  }

  #driver(name: ContenderName): Driver {
    let driver = this.#drivers.get(name);
    if (driver === undefined) this.#drivers.set(name, (driver = new Driver(this.#infos.get(name)!.program)));
    return driver;
  }

  async #runRow(row: Row): Promise<RowResult> {
    const { effort, warmSeconds, seconds } = this.#options;
    this.#say(`${row.area} ${row.id}: ${row.title}`);
    const values = new Map<ContenderName, number[]>();
    const failures = new Map<ContenderName, string>();
    const slow = new Set<ContenderName>();
    const attempt = async (name: ContenderName, work: (driver: Driver) => Promise<void>): Promise<void> => {
      if (failures.has(name)) return;
      try {
        await work(this.#driver(name));
      } catch (error) {
        failures.set(name, (error as Error).message);
        this.#say(`  ${row.id}: ${name} failed: ${(error as Error).message.split("\n").slice(0, 3).join(" / ")}`);
        // It may be in the middle of something: the next row gets a new process.
        await this.#drivers.get(name)?.end();
        this.#drivers.delete(name);
      }
    };
    const names = row.contenders.filter((name) => this.#infos.get(name)?.missing === undefined && this.#infos.has(name));
    for (const name of names) {
      values.set(name, []);
      await attempt(name, async (driver) => {
        const warm = await driver.ask({ do: "prepare", row: row.id, effort, warmSeconds });
        if (warm.seconds === undefined || warmSeconds === 0) return;
        if (warm.seconds * 1000 < WARM_UP_MS) return warmUp(row, warm, () => driver.ask({ do: "round", seconds }));
        values.get(name)!.push(figureOf(row, warm));
        slow.add(name);
      });
    }
    const rounds = Math.min(row.rounds ?? Infinity, this.#options.rounds);
    for (let i = 0; i < rounds; i++) {
      for (const name of names) {
        if (slow.has(name)) continue;
        await attempt(name, async (driver) => void values.get(name)!.push(figureOf(row, await driver.ask({ do: "round", seconds }))));
      }
    }
    for (const name of names) await attempt(name, async (driver) => void (await driver.ask({ do: "finish" })));
    const measured = names.map((name): [ContenderName, Measured] => {
      const failed = failures.get(name);
      return [name, { values: values.get(name)!, ...(failed === undefined ? {} : { failed }) }];
    });
    return { row, results: new Map(measured) };
  }
}
