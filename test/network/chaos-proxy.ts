/** A way between two ports that cuts, stalls, splits, delays, and plays whole connections back that it has seen before. */
import net from "node:net";
import type { AddressInfo, Socket } from "node:net";
import type { TestContext } from "node:test";
import type { Rng } from "../../sim/rng.ts";

export interface ChaosProxy {
  readonly port: number;
  /** Connections that it has cut, stalled and played back so far. */
  readonly done: { cut: number; stalled: number; replayed: number };
  /** From now on everything goes through untouched. */
  calm(): void;
}

export async function chaosProxy(t: TestContext, rng: Rng, target: number): Promise<ChaosProxy> {
  const sockets = new Set<Socket>();
  const done = { cut: 0, stalled: 0, replayed: 0 };
  let calm = false;
  const keep = (socket: Socket): Socket => {
    sockets.add(socket.on("error", () => {}).on("close", () => sockets.delete(socket)));
    return socket;
  };
  const replay = (recorded: Buffer[]): void => {
    done.replayed++;
    const socket = keep(net.connect(target, "127.0.0.1"));
    for (const chunk of recorded) socket.write(chunk);
    socket.resume();
  };
  const server = net.createServer({ noDelay: true }, (near) => {
    keep(near);
    const far = keep(net.connect({ port: target, host: "127.0.0.1", noDelay: true }));
    const recorded: Buffer[] = [];
    // So many bytes pass; then the connection breaks, or nothing moves on it any more.
    let left = calm ? Number.POSITIVE_INFINITY : rng.int(0, 60_000);
    const stalls = rng.chance(0.1);
    const end = (): void => {
      near.destroy();
      far.destroy();
      if (!calm && rng.chance(0.3)) replay(recorded);
    };
    const pass = (from: Socket, to: Socket, record: boolean): void => {
      from.on("data", (chunk: Buffer) => {
        if (record && recorded.length < 50) recorded.push(Buffer.from(chunk));
        if (calm) left = Number.POSITIVE_INFINITY;
        for (let at = 0; at < chunk.length && left > 0;) {
          const size = calm ? chunk.length : Math.min(rng.int(1, rng.chance(0.5) ? 20 : 20_000), chunk.length - at, left);
          to.write(chunk.subarray(at, at + size));
          at += size;
          left -= size;
        }
        if (left > 0) {
          if (calm || rng.chance(0.9)) return;
          from.pause();
          setTimeout(() => from.resume(), rng.int(1, 5));
        } else if (stalls) {
          done.stalled++;
          for (const socket of [near, far]) socket.pause();
          left = Number.NaN;
        } else if (left === 0) {
          done.cut++;
          end();
        }
      });
      from.on("close", () => to.destroy());
    };
    pass(near, far, true);
    pass(far, near, false);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, done, calm: () => void (calm = true) };
}
