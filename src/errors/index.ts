/**
 * All errors of mobula, and what the other layers need to make them and send them on.
 */
export { MobulaError, errorBrand, explain } from "./base.ts";
export type { ErrorDetails } from "./base.ts";
export {
  ActorDiedError,
  ActorNameTakenError,
  ActorNotFoundError,
  ActorUnavailableError,
  ConnectionError,
  ControlStoreError,
  GetTimeoutError,
  InvalidOptionError,
  JobError,
  NodeDiedError,
  ObjectLostError,
  ObjectStoreFullError,
  OutOfMemoryError,
  OwnerDiedError,
  PendingCallsLimitError,
  PlacementError,
  QueueEmptyError,
  QueueFullError,
  RuntimeEnvError,
  SerializationError,
  TaskCancelledError,
  TaskError,
  WorkerCrashedError,
} from "./classes.ts";
export type {
  ActorDiedDetails,
  ActorNameDetails,
  ConnectionDetails,
  ConnectionReason,
  ControlStoreDetails,
  DeathDetails,
  GetTimeoutDetails,
  InvalidOptionDetails,
  JobDetails,
  NodeDiedDetails,
  ObjectDetails,
  OutOfMemoryDetails,
  Outcome,
  PendingCallsDetails,
  PlaceDetails,
  PlacementDetails,
  RuntimeEnvDetails,
  SerializationDetails,
  StoreFailure,
  StoreFullDetails,
  TaskCancelledDetails,
  TaskErrorDetails,
  WorkerCrashedDetails,
} from "./classes.ts";
export { fromData, toData } from "./data.ts";
export type { ErrorData } from "./data.ts";
export { actorDied, actorUnavailable, taskLost } from "./death.ts";
export type { DeadProcess, Death, LostCall, LostTask } from "./death.ts";
export { editDistance, nearest, suggest } from "./nearest.ts";
export { errorEntry, errorRegistry } from "./registry.ts";
export type { ErrorCode, ErrorEntry } from "./registry.ts";
