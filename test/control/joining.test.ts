/** A node that joins while controls come and go: over a link that does as it is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId } from "../../src/protocol/ids.ts";
import { ControlLink } from "../../src/runtime/daemon/control-link.ts";
import type { ControlLinkEvents } from "../../src/runtime/daemon/control-link.ts";
import { leakChecked, waitUntil } from "../harness/index.ts";
import { viewOf } from "../cluster/nodes.ts";

leakChecked();

function linkTo(waitMs: number): { link: ControlLink; sent: string[]; lost: Error[] } {
  const sent: string[] = [];
  const lost: Error[] = [];
  const nothing = (): void => {};
  const events = new Proxy({} as ControlLinkEvents, { get: (_, name) => (name === "lost" ? (error: Error) => lost.push(error) : nothing) });
  // Control takes everything at once.
  const statistics = () => ({ state: "idle", keptMessages: 0, keptBytes: 0, sentMessages: sent.length, connections: 1 });
  const link = new ControlLink({
    nodeId: "000001000001" as NodeId,
    hub: { link: () => ({ send: (name: string) => sent.push(name) > 0, statistics }) as never },
    addresses: [{ host: "127.0.0.1", port: 1 }],
    waitMs,
    self: () => viewOf(0),
    living: () => ({ processes: [], actors: [], bundles: [], uses: [] }),
    status: () => ({ free: {}, queued: {}, pending: [], uses: [] }),
    events,
  });
  return { link, sent, lost };
}

test("a node whose control took its word and ended before it answered says it again, so that its link finds the next one", async (t) => {
  const { link, sent, lost } = linkTo(60_000);
  t.after(() => link.stop());
  link.start();
  assert.deepEqual(sent, ["nodeJoin"]);
  await waitUntil(() => sent.length > 1, "it says it again");
  link.receive("joined", { epoch: 1, nodes: [viewOf(0)], groups: [] } as never);
  assert.ok(link.isMember);
  link.peerRestarted(2);
  const before = sent.length;
  await waitUntil(() => sent.slice(before).includes("nodeJoin"), "and for each control");
  assert.deepEqual(lost, []);
});

test("a node that control does not answer ends with the reason", async (t) => {
  const { link, lost } = linkTo(500);
  t.after(() => link.stop());
  link.start();
  await waitUntil(() => lost.length > 0, "it ends");
  assert.match(lost[0]!.message, /not part of its cluster any more.*has been away for/s);
});
