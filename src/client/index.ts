/**
 * `mobula/client`: jobs of a cluster over its HTTP API, from Node and from browsers. Nothing of the engine is in it, and nothing of Node.
 */
export { JobError, MobulaError } from "../errors/index.ts";
export { JobClient } from "./job-client.ts";
export type { ClusterState, ClusterStateNode, Job, JobOptions, JobRuntimeEnv, JobStatus, SubmittedJob, UploadedPackage } from "./types.ts";
export type { FollowOptions, JobClientOptions, LogOptions, RequestOptions, UploadOptions, WaitOptions } from "./job-client.ts";
