/**
 * The package `mobula`: what users import. Nothing else of it is public, but `mobula/util` and `mobula/state`.
 */
export { exitActor, getActor, kill } from "./actors.ts";
export { availableResources, clusterResources, getRuntimeContext, init, isInitialized, nodes, shutdown, timeline } from "./cluster.ts";
export type { Cluster } from "./cluster.ts";
export type {
  NodeInfo,
  ObjectRefStream,
  PlacementStrategy,
  RuntimeContext,
  TimelineEvent,
  TypedArray,
  TypedArrayClass,
  WritableBuffer,
} from "../runtime/engine.ts";
export { cancel, createBuffer, get, put, wait } from "./objects.ts";
export { ObjectRef } from "../runtime/engine.ts";
export type { ValuesOf } from "./objects.ts";
export type {
  ActorOptions,
  CheckpointOptions,
  CancelOptions,
  ErrorClass,
  GetActorOptions,
  GetOptions,
  InitOptions,
  KillOptions,
  MethodOptions,
  NumReturns,
  PlacementGroupOptions,
  ResourceOptions,
  RuntimeEnv,
  TaskOptions,
  WaitOptions,
} from "./option-types.ts";
export { getPlacementGroup, PlacementGroup, placementGroup } from "./placement.ts";
export { remote } from "./remote.ts";
export type {
  ActorClass,
  ActorHandle,
  ActorMethod,
  AnyActorHandle,
  AnyClass,
  ConcreteClass,
  AnyFunction,
  BindArg,
  LazyNode,
  RemoteArg,
  RemoteArgs,
  RemoteFunction,
  RemoteResult,
  UntypedActorHandle,
} from "./remote-types.ts";
export { inPlacementGroup, nodeAffinity, nodeLabels } from "./strategies.ts";
export type { InPlacementGroup, NodeAffinity, NodeLabels, SchedulingStrategy } from "./strategies.ts";
export { deserialize, serialize } from "../values/hooks.ts";
export {
  ActorDiedError,
  ActorNameTakenError,
  ActorNotFoundError,
  ActorUnavailableError,
  ConnectionError,
  ControlStoreError,
  GetTimeoutError,
  InvalidOptionError,
  MobulaError,
  NodeDiedError,
  ObjectLostError,
  ObjectStoreFullError,
  OutOfMemoryError,
  OwnerDiedError,
  PendingCallsLimitError,
  PlacementError,
  RuntimeEnvError,
  SerializationError,
  TaskCancelledError,
  TaskError,
  WorkerCrashedError,
} from "../errors/index.ts";
export type { ErrorCode, Outcome } from "../errors/index.ts";
