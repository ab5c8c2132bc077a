/** What a control process is started with: JSON in the environment variable MOBULA_CONTROL_CONFIG. Types only. */
import type { NodeId } from "../../protocol/ids.ts";
import type { ControlStoreSpec } from "../stores/index.ts";

export const CONTROL_CONFIG = "MOBULA_CONTROL_CONFIG";

export interface ControlConfig {
  readonly clusterId: string;
  readonly store: ControlStoreSpec;
  /** A file with the cluster's token, closed to other users: no token is in an environment. */
  readonly tokenFile: string;
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** A folder with certificates. */
  readonly tlsDir?: string;
  /** Allows a host that others reach without TLS. */
  readonly insecure?: boolean;
  /** The node whose daemon keeps this process running. */
  readonly keptBy?: NodeId;
  /** Waits until no other leads, however long that takes. */
  readonly standby?: boolean;
  /** Ends when its stdin does, which is the end of who started it. */
  readonly bound?: boolean;
}

/** The lines that a control process prints: that it waits, if it is a standby; that it serves; or why it cannot. */
export type ControlReport =
  | { readonly standby: true; readonly pid: number; readonly host: string; readonly port: number }
  | { readonly ready: true; readonly pid: number; readonly host: string; readonly port: number; readonly epoch: number }
  | { readonly error: string; readonly code?: string; readonly reason?: string };
