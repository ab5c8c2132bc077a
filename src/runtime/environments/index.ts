/**
 * Runtime environments: from what a user gives to packages that any node can fetch (the driver's part), and from those to folders that
 * workers are started in (the node's part). Nothing here knows daemons, workers or messages.
 */
export { mergeDescriptions, parseDescription, printDescription } from "./description.ts";
export type { EnvironmentDescription } from "./description.ts";
export { Environments } from "./environments.ts";
export type { PreparedEnvironment } from "./environments.ts";
export { FolderStore, isPackageHash } from "./store.ts";
export type { PackageHash, PackageStore } from "./store.ts";
export { uploadEnvironment } from "./upload.ts";
export type { GivenEnvironment } from "./upload.ts";
