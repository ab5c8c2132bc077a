// A worker of workerpool, thread or process.
import workerpool from "workerpool";
import functions from "./functions.cjs";

workerpool.worker({ ...functions });
