/** What the dashboard's process is started with: JSON in the environment variable MOBULA_DASHBOARD_CONFIG. Types only. */

export const DASHBOARD_CONFIG = "MOBULA_DASHBOARD_CONFIG";

export interface DashboardChoice {
  /** 0 picks a free one. */
  readonly port: number;
  /** That port or none; else one of those after it will do. */
  readonly exact: boolean;
  /** Pages of these origins may call it from a browser, with a token like everybody: `https://host:port`. */
  readonly allowOrigins?: readonly string[];
}

export interface DashboardConfig extends DashboardChoice {
  /** The node of this machine. */
  readonly nodeId: string;
  /** The cluster's folder: logs of jobs are there. */
  readonly home: string;
  /** Where packages are put for the node of this machine, from which others fetch them. */
  readonly packages: string;
  readonly clusterId: string;
  /** Where control is or may be. */
  readonly control: readonly string[];
  readonly tokenFile: string;
  readonly host: string;
  /** A folder with certificates. */
  readonly tlsDir?: string;
  /** Allows a host that others reach without TLS. */
  readonly insecure: boolean;
}

/** The line that it prints when it serves; `{"error"}` where it cannot. */
export interface DashboardReport {
  readonly ready: true;
  readonly pid: number;
  readonly port: number;
  readonly url: string;
}

/** Lines on its stdin. */
export interface ToDashboard {
  readonly control: readonly string[];
}
