/** Membership: joining, news in batches, silence, leaving, draining, and what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  DOUBT_MS,
  Members,
  NEWS_MS,
  PROBE_AGAIN_MS,
  RETURN_AFTER_OTHERS_MS,
  RETURN_MS,
  SILENT_MS,
} from "../../src/core/control/members.ts";
import type { NodeId } from "../../src/protocol/ids.ts";
import type { NodeView } from "../../src/protocol/cluster.ts";
import type { Failure } from "../../src/protocol/messages.ts";
import { amounts } from "../node/node-harness.ts";
import { nodeIdOf, viewOf } from "./nodes.ts";

interface Told {
  readonly to: NodeId;
  readonly name: string;
  readonly nodes: readonly NodeView[];
  readonly refused: Failure | undefined;
}

function setUp() {
  const told: Told[] = [];
  const gone: NodeId[] = [];
  const events: string[] = [];
  const probes: NodeId[] = [];
  const members = new Members(
    {
      joined: (to, { nodes, refused }) => void told.push({ to, name: "joined", nodes, refused }),
      changed: (to, { nodes }) => void told.push({ to, name: "nodesChanged", nodes, refused: undefined }),
      nodeGone: (id) => void gone.push(id),
      kept: () => {},
      probe: (id) => void probes.push(id),
      event: (kind) => void events.push(kind),
    },
    1,
  );
  return { members, told, gone, events, probes };
}

const idle = { free: amounts({ CPU: 2 }), queued: {}, pending: [] };

test("a node that joins hears of all, and all hear of it in one batch", () => {
  const { members, told } = setUp();
  members.join(viewOf(0), 0);
  members.join(viewOf(1), 10);
  assert.deepEqual(
    told.map(({ to, name, nodes }) => [to, name, nodes.length]),
    [
      [nodeIdOf(0), "joined", 1],
      [nodeIdOf(1), "joined", 2],
    ],
  );
  assert.equal(members.nextDeadline(), NEWS_MS);
  members.tick(NEWS_MS);
  assert.deepEqual(
    told.slice(2).map(({ name, nodes }) => [name, nodes.length]),
    [
      ["nodesChanged", 2],
      ["nodesChanged", 2],
    ],
  );
  members.check();
});

test("a status that says nothing new is heard and not told on", () => {
  const { members, told } = setUp();
  members.join(viewOf(0), 0);
  members.tick(NEWS_MS);
  const before = told.length;
  members.status(nodeIdOf(0), idle, 4000);
  members.tick(4000 + NEWS_MS);
  assert.equal(told.length, before);
  members.tick(SILENT_MS + NEWS_MS);
  assert.equal(members.isAlive(nodeIdOf(0)), true);
});

test("a node that is silent for five seconds is dead, at once for all, and for good", () => {
  const { members, told, gone, events } = setUp();
  members.join(viewOf(0), 0);
  members.join(viewOf(1), 0);
  members.status(nodeIdOf(0), idle, SILENT_MS - 1);
  members.tick(SILENT_MS);
  assert.deepEqual(gone, [nodeIdOf(1)]);
  assert.equal(told.at(-1)!.nodes.find(({ nodeId }) => nodeId === nodeIdOf(1))?.state, "dead");
  assert.equal(members.join(viewOf(1), SILENT_MS + 1), false);
  assert.equal(told.at(-1)!.refused?.code, "NODE_DIED");
  assert.deepEqual(events, ["node-joined", "node-joined", "node-died"]);
  members.check();
});

test("a node that is silent is looked for, and dead when it was not there twice; one that is heard meanwhile is not", () => {
  const { members, gone, events, probes } = setUp();
  const [a, b] = [nodeIdOf(0), nodeIdOf(1)];
  members.join(viewOf(0), 0);
  members.join(viewOf(1), 0);
  members.heard(b, 1_000);
  members.tick(DOUBT_MS);
  assert.deepEqual(probes, [a]);
  members.absent(a, "nothing listens there", DOUBT_MS + 1);
  // What was found before a word of it came says nothing any more.
  members.heard(a, DOUBT_MS + 2);
  members.absent(a, "nothing listens there", DOUBT_MS + 3);
  members.tick(DOUBT_MS + PROBE_AGAIN_MS);
  members.tick(2 * DOUBT_MS + 2);
  assert.deepEqual(probes.splice(0), [a, a, b]);
  members.absent(a, "nothing listens there", 2 * DOUBT_MS + 3);
  assert.deepEqual(gone, []);
  members.heard(b, 2 * DOUBT_MS + 4);
  assert.equal(members.nextDeadline(), 2 * DOUBT_MS + 2 + PROBE_AGAIN_MS);
  members.tick(2 * DOUBT_MS + 2 + PROBE_AGAIN_MS);
  assert.deepEqual(probes, [a]);
  members.absent(a, "nothing listens there", 2 * DOUBT_MS + 3 + PROBE_AGAIN_MS);
  assert.deepEqual(gone, [a]);
  assert.match(members.get(a)!.reason!, /given up: it is not there any more: nothing listens there/);
  assert.deepEqual(events.slice(2), ["node-died"]);
  members.check();
});

test("a new control waits for nodes of before, for less once one of them is back; a stop of its own excuses the time", () => {
  const { members, gone } = setUp();
  for (const i of [0, 1, 2]) members.restore(viewOf(i), 0);
  members.tick(4_999);
  members.join(viewOf(0), 5_000);
  const until = 5_000 + RETURN_AFTER_OTHERS_MS;
  members.excuse(100);
  for (let now = 6_000; now <= until; now += 1_000) {
    members.heard(nodeIdOf(0), now);
    if (now === 9_000) members.join(viewOf(1), now);
    if (now > 9_000) members.heard(nodeIdOf(1), now);
    members.tick(now);
  }
  assert.deepEqual(gone, []);
  members.tick(until + 100);
  assert.deepEqual(gone, [nodeIdOf(2)]);
  const alone = setUp();
  for (const i of [0, 1]) alone.members.restore(viewOf(i), 0);
  alone.members.tick(RETURN_MS - 1);
  assert.deepEqual(alone.gone, []);
  alone.members.tick(RETURN_MS);
  assert.equal(alone.gone.length, 2);
});

test("a node that leaves is gone at once; one that drains is there and takes nothing new", () => {
  const { members, gone } = setUp();
  members.join(viewOf(0), 0);
  members.join(viewOf(1), 0);
  assert.equal(members.drain(nodeIdOf(1), 5), true);
  assert.equal(members.get(nodeIdOf(1))?.state, "draining");
  members.leave(nodeIdOf(1), "it was drained", 10);
  assert.deepEqual(gone, [nodeIdOf(1)]);
  assert.equal(members.drain(nodeIdOf(1), 20), false);
  members.check();
});

test("another node with the same first digits is refused", () => {
  const { members, told } = setUp();
  members.join(viewOf(0), 0);
  assert.equal(members.join({ ...viewOf(1), nodeId: "000000ffffff" as NodeId }, 1), false);
  assert.equal(told.at(-1)!.refused?.code, "NODE_ID_TAKEN");
});

test("dead nodes are listed for an hour", () => {
  const { members } = setUp();
  members.join(viewOf(0), 0);
  members.leave(nodeIdOf(0), "stopped", 1);
  members.tick(3_599_999);
  assert.equal(members.views.length, 1);
  members.tick(3_600_001);
  assert.equal(members.views.length, 0);
});
