/** Objects between nodes. */
export { BULK, Transfer } from "./transfer.ts";
export type { TransferOptions, TransferStatistics } from "./transfer.ts";
