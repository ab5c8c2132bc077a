/** The option `runtimeEnv`, checked. Whether its files and packages are there is seen when they are packed. */
import path from "node:path";
import type { EnvironmentSpec } from "../runtime/engine.ts";
import { bool, checkNames, envVar, record, refuse, text } from "./option-checks.ts";
import type { Raw } from "./option-checks.ts";

const names = ["workingDir", "excludes", "envVars", "npm", "npmScripts", "setup"];

/** Parts of an environment that Ray has, by the names that one would try. */
const elsewhere: Raw = {
  modules: "Put them into workingDir.",
  jsModules: "Put them into workingDir.",
  pyModules: "Workers run JavaScript. Put modules into workingDir.",
  packages: "Write npm.",
  pip: "Workers run JavaScript: packages of npm go into npm.",
  uv: "Workers run JavaScript: packages of npm go into npm.",
  conda: "Workers run JavaScript: packages of npm go into npm.",
  workerProcessSetupHook: "Write setup.",
  container: "Workers run in no container of their own.",
  imageUri: "Workers run in no container of their own.",
  config: "An install has ten minutes; begins as soon as it is known.",
};

const EXCLUDES_MAX = 10_000;
const PACKAGES_MAX = 1000;

export interface RuntimeEnvSettings {
  readonly envVars: Readonly<Record<string, string>> | undefined;
  readonly environment: EnvironmentSpec | undefined;
}

export function runtimeEnvOf(value: unknown): RuntimeEnvSettings {
  if (value === undefined) return { envVars: undefined, environment: undefined };
  const given = checkNames("runtimeEnv", value, names, elsewhere);
  const { workingDir, excludes, envVars, npm, npmScripts, setup } = given;
  if (excludes !== undefined && workingDir === undefined) refuse("runtimeEnv.excludes", excludes, "given together with workingDir");
  if (npmScripts !== undefined && npm === undefined) refuse("runtimeEnv.npmScripts", npmScripts, "given together with npm");
  const environment: EnvironmentSpec = {
    ...(workingDir === undefined ? {} : { workingDir: folder("runtimeEnv.workingDir", workingDir) }),
    ...(excludes === undefined ? {} : { excludes: list("runtimeEnv.excludes", excludes, EXCLUDES_MAX) }),
    ...(npm === undefined ? {} : { npm: packages("runtimeEnv.npm", npm) }),
    ...(npmScripts === undefined ? {} : { npmScripts: bool("runtimeEnv.npmScripts", npmScripts) }),
    ...(setup === undefined ? {} : { setup: hook("runtimeEnv.setup", setup) }),
  };
  return {
    envVars: envVars === undefined ? undefined : record("runtimeEnv.envVars", envVars, envVar),
    environment: Object.keys(environment).length > 0 ? environment : undefined,
  };
}

function folder(option: string, value: unknown): string {
  const place = text(option, value, 4096);
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(place)) refuse(option, value, "a folder, .zip or .tar.gz of this machine");
  return path.resolve(place);
}

function list(option: string, value: unknown, most: number): string[] {
  if (!Array.isArray(value) || value.length > most) return refuse(option, value, `an array of at most ${most} strings`);
  return value.map((one, i) => text(`${option}[${i}]`, one, 4096));
}

/** What begins with a dash would be an option of npm. */
function packages(option: string, value: unknown): string[] | "lock" {
  if (value === "lock") return value;
  if (!Array.isArray(value)) return refuse(option, value, 'an array of packages, such as ["name@range", "./local.tgz"], or "lock"');
  return list(option, value, PACKAGES_MAX).map((one, i) => {
    if (/^\s*-|[\0\n]/.test(one)) refuse(`${option}[${i}]`, one, "a package, as npm install takes it");
    return /^\.{0,2}\//.test(one) ? path.resolve(one) : one;
  });
}

function hook(option: string, value: unknown): EnvironmentSpec["setup"] & {} {
  if (typeof value === "function") return { fn: value, name: value.name === "" ? "setup" : value.name.slice(0, 256), captures: undefined };
  return typeof value === "string" ? text(option, value, 4096) : refuse(option, value, "a function, or a module's specifier");
}
