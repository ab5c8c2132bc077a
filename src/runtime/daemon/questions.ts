/** Answers to `ask`, as JSON: what this cluster has, has free, has stored and has done. */
import { hostname } from "node:os";
import type { Control } from "../../core/control/control.ts";
import type { GroupQuestion, NodeMachine } from "../../core/node/node.ts";
import { inWholes } from "../../core/resources.ts";
import type { NodeId, ProcessId } from "../../protocol/ids.ts";
import type { Body } from "../../protocol/messages.ts";
import type { Timeline } from "./timeline.ts";

export interface QuestionSources {
  readonly nodeId: NodeId;
  readonly labels: Readonly<Record<string, string>>;
  readonly node: NodeMachine;
  readonly control: Control;
  readonly timeline: Timeline;
  objectStore(): object;
  counts(): object;
  collectGarbage(): void;
  now(): number;
  /** Calls back when what workers had printed before is on its way. */
  drainOutput(done: () => void): void;
  answer(to: ProcessId, body: Body<"answer">): void;
}

export function answerQuestion(s: QuestionSources, from: ProcessId, { call, question }: Body<"ask">): void {
  const reply = (value: unknown): void => s.answer(from, { call, body: JSON.stringify(value) });
  switch (question.kind) {
    case "actorByName":
      return s.control.byName(from, call, question.name, question.namespace);
    case "nodes":
      return reply([
        {
          nodeId: s.nodeId,
          alive: true,
          hostname: hostname(),
          labels: s.labels,
          resources: inWholes(s.node.total),
          available: inWholes(s.node.free),
        },
      ]);
    case "clusterResources":
      return reply(inWholes(s.node.total));
    case "availableResources":
      return reply(inWholes(s.node.free));
    case "timeline":
      return reply(s.timeline.events);
    case "objectStore":
      return reply([{ nodeId: s.nodeId, ...s.objectStore() }]);
    case "counts":
      return reply([{ nodeId: s.nodeId, ...s.counts() }]);
    case "collectGarbage":
      s.collectGarbage();
      return reply({});
    case "outputDrained":
      return s.drainOutput(() => reply({}));
    default:
      return s.node.askGroup(from, call, question satisfies GroupQuestion, s.now());
  }
}
