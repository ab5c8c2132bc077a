// A worker of poolifier that is a thread.
import { ThreadWorker } from "poolifier";
import functions from "./functions.cjs";

export default new ThreadWorker({ ...functions });
