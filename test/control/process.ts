/** Control as a process of its own, from dist/, for tests that end it by force. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import type { TestContext } from "node:test";
import { CONTROL_CONFIG } from "../../src/runtime/control/config.ts";
import type { ControlConfig, ControlReport } from "../../src/runtime/control/config.ts";
import { createToken } from "../../src/runtime/network/index.ts";
import type { ControlStoreSpec } from "../../src/runtime/stores/index.ts";
import { freshFolder, kill, waitUntil } from "../harness/index.ts";
import { CLUSTER } from "./fake-node.ts";

const MAIN = path.resolve(import.meta.dirname, "../../dist/runtime/control/main.js");

/** A token in a file, for both sides. */
export function tokenIn(t: TestContext): { file: string; secret: ReturnType<typeof createToken>["token"] } {
  const folder = freshFolder(t);
  fs.chmodSync(folder, 0o700);
  const { token, from } = createToken(folder);
  return { file: from, secret: token };
}

/** Ended by the test itself, before it is looked for what is left; `t.after` is for tests that fail. */
export class ControlProcess {
  readonly child: ChildProcess;
  readonly reports: ControlReport[] = [];
  stderr = "";
  readonly ended: Promise<number | null>;

  constructor(t: TestContext, tokenFile: string, store: ControlStoreSpec, port: number, more: Partial<ControlConfig> = {}) {
    const config: ControlConfig = { clusterId: CLUSTER, store, tokenFile, host: "127.0.0.1", port, bound: true, ...more };
    const env = { ...process.env, [CONTROL_CONFIG]: JSON.stringify(config) };
    this.child = spawn(process.execPath, [MAIN], { env, stdio: ["pipe", "pipe", "pipe"] });
    let rest = "";
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.reports.push(JSON.parse(line) as ControlReport);
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.ended = new Promise((resolve) => this.child.once("close", (code) => resolve(code)));
    t.after(() => this.kill());
  }

  get ready(): boolean {
    return this.reports.some((report) => "ready" in report);
  }

  /** Serves, or the reason why not is thrown. */
  async serves(timeoutMs = 60_000): Promise<this> {
    const story = (): string => `${JSON.stringify(this.reports)} ${this.stderr}`;
    await waitUntil(
      () => {
        if (this.child.exitCode !== null) throw new Error(`control ended with ${this.child.exitCode}: ${story()}`);
        return this.ready;
      },
      "control serves",
      { timeoutMs, story },
    );
    return this;
  }

  async kill(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) kill(this.child.pid!);
    await this.ended;
  }
}
