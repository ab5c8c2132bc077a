/** Where a bug can be planted: each hook may replace a machine or tamper with a port. Without a plant nothing is changed. */
import { Control } from "../src/core/control/control.ts";
import type { ControlPort } from "../src/core/control/control.ts";
import { Journals } from "../src/core/journals.ts";
import type { JournalPort } from "../src/core/journals.ts";
import { NodeMachine } from "../src/core/node/node.ts";
import type { NodeConfig, NodePort } from "../src/core/node/state.ts";
import type { Claims } from "../src/core/owner/leases.ts";
import { Owner } from "../src/core/owner/owner.ts";
import type { OwnerPort } from "../src/core/owner/port.ts";
import { RefTable } from "../src/core/refs/refs.ts";
import type { RefPort } from "../src/core/refs/refs.ts";
import type { ProcessId } from "../src/protocol/ids.ts";

export interface Plant {
  node(config: NodeConfig, port: NodePort): NodeMachine;
  control(port: ControlPort): Control;
  refs(port: RefPort): RefTable;
  journals(port: JournalPort): Journals;
  owner(port: OwnerPort, process: ProcessId, claims: Claims): Owner;
  /** A worker asks whether it may run a call. */
  claimed(claimed: boolean): boolean;
  /** A worker whose actor nobody else holds says that nothing is under way in it, also when something is. */
  readonly idle: boolean;
}

export const NO_PLANT: Plant = {
  node: (config, port) => new NodeMachine(config, port),
  control: (port) => new Control(port),
  refs: (port) => new RefTable(port),
  journals: (port) => new Journals(port),
  owner: (port, process, claims) => new Owner(port, process, claims),
  claimed: (claimed) => claimed,
  idle: false,
};
