/** Small projects and packages for tests of environments, and a registry that serves them. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { tarGzip } from "./archives.ts";

/** Writes files; their folders come with them. */
export function writeFiles(folder: string, files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
  return folder;
}

/** A package as `npm pack` makes it: it exports its own version, and what it is told to. */
export function packageArchive(name: string, version: string, more: Readonly<Record<string, unknown>> = {}): Buffer {
  const manifest = { name, version, type: "module", exports: "./index.js", ...more };
  return tarGzip([
    { path: "package/package.json", content: JSON.stringify(manifest) },
    { path: "package/index.js", content: `export const version = ${JSON.stringify(version)};\nexport default version;\n` },
  ]);
}

export interface Registry {
  readonly url: string;
  /** What was asked for, in order. */
  readonly asked: string[];
}

/** A registry that has these packages, and knows no others. */
export async function startRegistry(
  t: { after(end: () => Promise<void>): void },
  packages: Readonly<Record<string, readonly string[]>>,
): Promise<Registry> {
  const asked: string[] = [];
  const server = http.createServer((request, response) => {
    asked.push(request.url!);
    const [, name = "", file] = /^\/([^/]+)(?:\/-\/(.+))?$/.exec(request.url!) ?? [];
    const versions = packages[name];
    if (versions === undefined) return void response.writeHead(404, { "content-type": "application/json" }).end('{"error":"not found"}');
    if (file !== undefined) return void response.end(packageArchive(name, file.slice(0, -4)));
    const { host } = request.headers;
    const described = versions.map((version) => {
      const integrity = `sha512-${createHash("sha512").update(packageArchive(name, version)).digest("base64")}`;
      return [version, { name, version, dist: { tarball: `http://${host}/${name}/-/${version}.tgz`, integrity } }];
    });
    const body = { name, "dist-tags": { latest: versions.at(-1) }, versions: Object.fromEntries(described) as object };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => (server.closeAllConnections(), server.close(() => resolve()))));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, asked };
}
