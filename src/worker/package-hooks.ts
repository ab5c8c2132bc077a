/**
 * Packages of an environment for modules that are not in its working directory, but where the program has them: the rules of Node would
 * not lead from there to the environment's packages. Those come first here, and what they do not have is found as ever.
 */
import module from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

type Resolve = (specifier: string, context: { parentURL?: string }) => unknown;

interface Hooks {
  /** Node 22.15 and later. */
  registerHooks?(hooks: { resolve(specifier: string, context: { parentURL?: string }, next: Resolve): unknown }): void;
}

interface Loader {
  _resolveFilename(request: string, parent: unknown, isMain: boolean, options?: { paths: string[] }): string;
}

/** A package's name, not a path, an address or a module of Node. */
const BARE = /^(?!node:)(@[^/:]+\/)?[^./:#][^:]*$/;
const isPackage = (specifier: string): boolean => BARE.test(specifier) && !module.builtinModules.includes(specifier);

/** This package, and others that are installed somewhere, know their own: only the program's modules are led elsewhere. */
const own = fileURLToPath(new URL("..", import.meta.url));
const ownUrl = new URL("..", import.meta.url).href;
const INSTALLED = /[\\/]node_modules[\\/]/;
const isProgram = (parent: string | undefined): boolean =>
  parent === undefined || !(parent.startsWith(ownUrl) || parent.startsWith(own) || INSTALLED.test(parent));

/** `folder` has `node_modules`. */
export function findPackagesIn(folder: string): void {
  const parentURL = pathToFileURL(`${folder}/packages`).href;
  const { registerHooks } = module as unknown as Hooks;
  if (registerHooks === undefined) return beforeHooks(folder, parentURL);
  registerHooks({
    resolve: (specifier, context, next) => {
      if (!isPackage(specifier) || !isProgram(context.parentURL)) return next(specifier, context);
      try {
        return next(specifier, { ...context, parentURL });
      } catch {
        return next(specifier, context);
      }
    },
  });
}

/** In Node 20 hooks of `import` run on a thread of their own, and `require` has none. */
function beforeHooks(folder: string, parentURL: string): void {
  const source = `
    const BARE = ${BARE.toString()};
    const builtin = new Set(${JSON.stringify(module.builtinModules)});
    export async function resolve(specifier, context, next) {
      const parent = context.parentURL ?? "";
      const other = parent.startsWith(${JSON.stringify(ownUrl)}) || ${INSTALLED.toString()}.test(parent);
      if (other || !BARE.test(specifier) || builtin.has(specifier)) return next(specifier, context);
      try {
        return await next(specifier, { ...context, parentURL: ${JSON.stringify(parentURL)} });
      } catch {
        return next(specifier, context);
      }
    }`;
  module.register(`data:text/javascript,${encodeURIComponent(source)}`);
  const loader = module as unknown as Loader;
  const resolve = loader._resolveFilename.bind(loader);
  loader._resolveFilename = (request, parent, isMain, options) => {
    if (isPackage(request) && options === undefined && isProgram((parent as { filename?: string } | undefined)?.filename)) {
      try {
        return resolve(request, parent, isMain, { paths: [folder] });
      } catch {
        // Not one of the environment's.
      }
    }
    return resolve(request, parent, isMain, options);
  };
}
