/**
 * Environments as this process asks for them: what a task was given, laid over what it inherits, packed and uploaded once. Until that is
 * done a shape carries a token in its place; a lease request, or an actor's creation, waits for what the token stands for.
 */
import { InvalidOptionError, RuntimeEnvError } from "../../errors/index.ts";
import { originOf } from "../../functions/index.ts";
import type { LeaseShape } from "../../protocol/messages.ts";
import type { EnvironmentSpec, Target } from "../engine.ts";
import type { GivenEnvironment } from "../environments/index.ts";

export interface EnvironmentHost {
  /** The folder in which this process hands packages to its node. */
  packages(): string | Promise<string>;
  definition(setup: Target): { readonly bytes: Uint8Array; readonly refs: readonly string[] | undefined };
  /** Resolves once a package can be had by whoever needs it. */
  publish(hash: string): Promise<void>;
}

/** What this process's work has unless it says otherwise. */
export interface Inherited {
  /** A description. */
  readonly environment?: string | undefined;
  readonly envVars?: Readonly<Record<string, string>> | undefined;
}

interface Asked {
  readonly given: GivenEnvironment;
  /** What it is laid over: a description. */
  readonly base: string | undefined;
  /** Its description. Not kept where it failed: whoever asks again makes it be tried again. */
  description: Promise<string | undefined> | undefined;
}

/** No description begins so. */
const TOKEN = "?";
/** What a message can hold. */
const DESCRIPTION_MAX = 60_000;

export class ClientEnvironments {
  readonly #host: EnvironmentHost;
  readonly #inherited: Inherited;
  readonly #asked: Asked[] = [];
  readonly #byKey = new Map<string, number>();
  /** Of a driver: what `init` was given. */
  #job: string | undefined;

  constructor(host: EnvironmentHost, inherited: Inherited) {
    this.#host = host;
    this.#inherited = inherited;
  }

  /** What all work of this program has unless it says otherwise. */
  setJob(spec: EnvironmentSpec): void {
    this.#job = this.#tokenFor(spec, this.#inherited.environment);
  }

  /** Uploads that. */
  async makeJob(): Promise<string | undefined> {
    return this.resolve(this.#job);
  }

  /** A shape as it was given, with what it inherits: the same object where there is nothing. */
  shape(shape: LeaseShape, spec: EnvironmentSpec | undefined): LeaseShape {
    const { envVars } = this.#inherited;
    const base = this.#job ?? this.#inherited.environment;
    const environment = spec === undefined ? base : this.#tokenFor(spec, base);
    const hasVariables = envVars !== undefined && Object.keys(envVars).length > 0;
    if (environment === undefined && !hasVariables) return shape;
    return {
      ...shape,
      ...(environment === undefined ? {} : { environment }),
      ...(hasVariables ? { envVars: { ...envVars, ...shape.envVars } } : {}),
    };
  }

  /** The description that `environment` of a shape stands for. Rejects with RuntimeEnvError. */
  resolve(environment: string | undefined): Promise<string | undefined> | string | undefined {
    if (environment?.startsWith(TOKEN) !== true) return environment;
    const asked = this.#asked[Number(environment.slice(TOKEN.length))]!;
    if (asked.description === undefined) {
      asked.description = this.#make(asked);
      asked.description.catch(() => (asked.description = undefined));
    }
    return asked.description;
  }

  #tokenFor(spec: EnvironmentSpec, base: string | undefined): string {
    const given = this.#given(spec);
    const setup = typeof given.setup === "object" ? Buffer.from(given.setup).toString("base64") : given.setup;
    const key = JSON.stringify([base, given.workingDir, given.excludes, given.npm, given.npmScripts, setup]);
    let at = this.#byKey.get(key);
    if (at === undefined) {
      at = this.#asked.push({ given, base, description: undefined }) - 1;
      this.#byKey.set(key, at);
    }
    return `${TOKEN}${at}`;
  }

  /** A setup function is taken as it is now. */
  #given({ setup, ...rest }: EnvironmentSpec): GivenEnvironment {
    if (setup === undefined || typeof setup === "string") return { ...rest, ...(setup === undefined ? {} : { setup }) };
    const { bytes, refs } = this.#host.definition(setup);
    if (refs === undefined || refs.length === 0) return { ...rest, setup: bytes };
    throw new InvalidOptionError(
      "runtimeEnv.setup captures object refs or actor handles. It runs before its worker belongs to the cluster: let the tasks get them.",
      { option: "runtimeEnv.setup" },
    );
  }

  async #make({ given, base }: Asked): Promise<string | undefined> {
    const { FolderStore, mergeDescriptions, parseDescription, printDescription, uploadEnvironment } =
      await import("../environments/index.ts");
    const below = await this.resolve(base);
    const to = {
      store: new FolderStore(await this.#host.packages()),
      published: (hash: string) => this.#host.publish(hash),
      originOf,
    };
    const own = await uploadEnvironment(given, to);
    const text = printDescription(mergeDescriptions(below === undefined ? {} : parseDescription(below), own));
    if (text === undefined || text.length <= DESCRIPTION_MAX) return text;
    throw new RuntimeEnvError(`runtimeEnv names too many packages: ${text.length} characters. Use npm: "lock" with a package-lock.json.`);
  }
}
