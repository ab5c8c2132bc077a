/** Answers to `ask`, as JSON: what this cluster has, has free, has stored and has done. */
import { hostname } from "node:os";
import type { GroupQuestion, NodeMachine } from "../../core/node/node.ts";
import { inWholes } from "../../core/resources.ts";
import type { NodeId, ProcessId } from "../../protocol/ids.ts";
import type { NodeView } from "../../protocol/cluster.ts";
import type { Body } from "../../protocol/messages.ts";
import type { SurveyQuestion } from "../cluster/survey.ts";
import type { ControlSide } from "./machines.ts";
import type { Timeline } from "./timeline.ts";

/** What a cluster of more nodes answers with. */
export interface OtherNodes {
  views(): NodeView[];
  survey(question: SurveyQuestion, done: (answers: string[]) => void): void;
  askGroup(from: ProcessId, call: number, question: GroupQuestion): void;
}

export interface QuestionSources {
  readonly nodeId: NodeId;
  readonly labels: Readonly<Record<string, string>>;
  readonly node: NodeMachine;
  readonly control: Pick<ControlSide, "byName" | "kill">;
  readonly timeline: Timeline;
  readonly others: OtherNodes | undefined;
  objectStore(): object;
  counts(): object;
  collectGarbage(): void;
  now(): number;
  /** Calls back when what workers had printed before is on its way. */
  drainOutput(done: () => void): void;
  readonly environments: { publish(hash: string): Promise<boolean>; warm(environment: string): void };
  answer(to: ProcessId, body: Body<"answer">): void;
}

export function answerQuestion(s: QuestionSources, from: ProcessId, { call, question }: Body<"ask">): void {
  const reply = (value: unknown): void => s.answer(from, { call, body: JSON.stringify(value) });
  switch (question.kind) {
    case "actorByName":
      return s.control.byName(from, call, question.name, question.namespace);
    case "actorKill":
      return s.control.kill(from, call, question);
    case "nodes":
      return reply(nodes(s));
    case "clusterResources":
      return reply(sumOf(s, "resources"));
    case "availableResources":
      return reply(sumOf(s, "available"));
    case "timeline":
    case "objectStore":
    case "counts":
    case "collectGarbage":
    case "outputDrained": {
      const { kind } = question;
      return answerHere(s, kind, (own) => {
        if (s.others === undefined) return reply(own);
        s.others.survey(kind, (answers) => reply(together(own, answers)));
      });
    }
    case "packagePublish":
      void s.environments.publish(question.hash).then(
        (there) => (there ? reply({}) : refuse(s, from, call, `package ${question.hash} is not where it should be`)),
        (error: Error) => refuse(s, from, call, error.message),
      );
      return undefined;
    case "environmentWarm":
      s.environments.warm(question.environment);
      return reply({});
    default:
      if (s.others !== undefined) s.others.askGroup(from, call, question satisfies GroupQuestion);
      else s.node.askGroup(from, call, question, s.now());
  }
}

/** This node's own part of an answer. */
export function answerHere(s: QuestionSources, question: SurveyQuestion, done: (answer: unknown) => void): void {
  switch (question) {
    case "timeline":
      return done(s.timeline.events(s.nodeId));
    case "objectStore":
      return done([{ nodeId: s.nodeId, ...s.objectStore() }]);
    case "counts":
      return done([{ nodeId: s.nodeId, ...s.counts() }]);
    case "collectGarbage":
      s.collectGarbage();
      return done({});
    case "outputDrained":
      return s.drainOutput(() => done({}));
    default:
      question satisfies never;
  }
}

const together = (own: unknown, answers: readonly string[]): unknown =>
  Array.isArray(own) ? [...(own as unknown[]), ...answers.flatMap((answer) => JSON.parse(answer) as unknown[])] : own;

function nodes(s: QuestionSources) {
  // What this node has free it knows best.
  const own = { resources: inWholes(s.node.total), available: inWholes(s.node.free) };
  if (s.others === undefined) return [{ nodeId: s.nodeId, alive: true, hostname: hostname(), labels: s.labels, ...own }];
  return s.others.views().map(({ nodeId, state, hostname: host, labels, total, free }) => ({
    nodeId,
    alive: state !== "dead",
    hostname: host,
    labels,
    ...(nodeId === s.nodeId ? own : { resources: inWholes(total), available: inWholes(free) }),
  }));
}

function sumOf(s: QuestionSources, what: "resources" | "available"): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const node of nodes(s)) {
    // Amounts are exact in ten-thousandths.
    if (node.alive)
      for (const [name, amount] of Object.entries(node[what])) sum[name] = Math.round(((sum[name] ?? 0) + amount) * 1e4) / 1e4;
  }
  return sum;
}

function refuse(s: QuestionSources, to: ProcessId, call: number, message: string): void {
  s.answer(to, { call, failure: { code: "RUNTIME_ENV_FAILED", message: message.slice(0, 12_000) } });
}
