/**
 * What is done to actors from outside, beside calling them: find, kill; and from inside: end.
 */
import { InvalidOptionError } from "../errors/index.ts";
import { makeHandle, requireCore } from "./handles.ts";
import { flags, namespaceSetting } from "./options.ts";
import { text } from "./option-checks.ts";
import type { GetActorOptions, KillOptions } from "./option-types.ts";
import type { AnyActorHandle, HandleOf, UntypedActorHandle } from "./remote-types.ts";
import { engine, engineOf, openEngine } from "./session.ts";

/**
 * The handle of the living actor of this name. `getActor<typeof Class>(name)` gives it the methods of Class.
 *
 * Rejects with ActorNotFoundError when there is none.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * class Greeter {
 *   greet(name: string) { return `Hello, ${name}`; }
 * }
 * const held = ray.remote(Greeter).options({ name: "greeter" }).remote();
 * const found = await ray.getActor<typeof Greeter>("greeter");
 * console.log(await ray.get(found.greet.remote("you"))); // Hello, you
 * await ray.kill(held);
 * await ray.shutdown();
 * ```
 */
export function getActor(name: string, options?: GetActorOptions): Promise<UntypedActorHandle>;
export function getActor<C extends object>(name: string, options?: GetActorOptions): Promise<HandleOf<C>>;
export async function getActor(name: string, options?: GetActorOptions): Promise<AnyActorHandle> {
  text("name", name);
  const namespace = namespaceSetting(options);
  return makeHandle(await engine().getActor(name, namespace));
}

/**
 * Ends an actor at once, whatever it is doing. Calls under way and later ones reject with ActorDiedError. With `noRestart: false` it counts
 * as a crash, so `maxRestarts` holds, and calls that this process makes from then on go to the next incarnation. Resolves when it is over.
 * An actor that is dead already is left as it is.
 *
 * Rejects with InvalidOptionError for what is no handle, and ConnectionError for a handle from before a shutdown.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * class Idle {
 *   ping() { return "pong"; }
 * }
 * const actor = ray.remote(Idle).remote();
 * await ray.kill(actor);
 * await ray.get(actor.ping.remote()).catch((error) => console.log(error.code)); // ACTOR_DIED
 * await ray.shutdown();
 * ```
 */
export async function kill(handle: AnyActorHandle, options?: KillOptions): Promise<void> {
  const { noRestart } = flags("kill", options, { noRestart: true });
  const core = requireCore("kill()", handle);
  await engineOf("kill()").kill(core, noRestart);
}

/**
 * Ends the actor that runs this, after the current call: that one resolves to undefined, later ones reject with ActorDiedError. Does
 * not return. Throws InvalidOptionError outside an actor.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * class Once {
 *   last() { ray.exitActor(); }
 * }
 * const once = ray.remote(Once).remote();
 * console.log(await ray.get(once.last.remote())); // undefined
 * await ray.shutdown();
 * ```
 */
export function exitActor(): never {
  const current = openEngine();
  if (current !== undefined) return current.exitActor();
  throw new InvalidOptionError("exitActor() was called outside an actor. Call it in a method of one; kill(handle) ends one from outside.", {
    option: "exitActor",
    value: undefined,
  });
}
