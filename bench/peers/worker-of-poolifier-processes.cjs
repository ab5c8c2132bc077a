// A process of poolifier. CommonJS, because an ES module is loaded too late for the first message, and the pool then waits.
const { ClusterWorker } = require("poolifier");
const functions = require("./functions.cjs");

module.exports = new ClusterWorker({ ...functions });
