/** Modules that the program has, and that workers cannot load: the cause is in the error, and others go on. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import * as ray from "mobula";
import { freshFolder } from "../harness/index.ts";
import { rejectionOf, sharedCluster } from "../rows/cluster.ts";

sharedCluster({ numCpus: 2 });

const GOOD = `
export function f(x) { return x + 1; }
export class Actor { hello() { return "hello"; } }
export class Point { constructor(x) { this.x = x; } }
`;

interface Module {
  readonly f: (x: number) => number;
  readonly Actor: new () => { hello(): string };
  readonly Point: new (x: number) => { readonly x: number };
}

const BROKEN: readonly [what: string, source: string, cause: RegExp][] = [
  ["has a syntax error", `${GOOD}\nlet let = 1;`, /reserved word/],
  ["imports a package that is not there", `import "not-a-package-at-all";${GOOD}`, /not-a-package-at-all/],
  ["imports a name that is not there", `import { noSuchName } from "node:fs";${GOOD}`, /noSuchName/],
  ["throws when it is imported", `${GOOD}\nthrow new RangeError("not on this machine");`, /not on this machine/],
  ["throws nothing of use", `${GOOD}\nthrow undefined;`, /it threw undefined/],
  ["has other exports", "export const g = 1;", /\bf\b|Actor|Point/],
  ["is gone", "", /Cannot find module/],
];

for (const [what, source, cause] of BROKEN) {
  test(`a module that ${what}: a task, an actor and a value of it say so`, async (t) => {
    const file = path.join(freshFolder(t), "broken.mjs");
    fs.writeFileSync(file, GOOD);
    const { f, Actor, Point } = (await import(pathToFileURL(file).href)) as Module;
    if (source === "") fs.rmSync(file);
    else fs.writeFileSync(file, source);
    const told = (error: unknown, type: typeof ray.RuntimeEnvError | typeof ray.ActorDiedError): void => {
      assert.ok(error instanceof type, String(error));
      const text = error.cause instanceof Error ? `${error.message} ${error.cause.message}` : error.message;
      assert.match(text, cause);
      assert.match(text, /broken\.mjs/);
    };
    told(await rejectionOf(ray.get(ray.remote(f).remote(1), { timeoutMs: 30_000 })), ray.RuntimeEnvError);
    told(await rejectionOf(ray.get(ray.remote(Actor).remote().hello.remote(), { timeoutMs: 30_000 })), ray.ActorDiedError);
    const take = ray.remote((point: object) => typeof point);
    told(await rejectionOf(ray.get(take.remote(new Point(1)), { timeoutMs: 30_000 })), ray.RuntimeEnvError);
    told(await rejectionOf(ray.get(take.remote(ray.put(new Point(1))), { timeoutMs: 30_000 })), ray.RuntimeEnvError);
    assert.equal(await ray.get(take.remote({})), "object");
  });
}
