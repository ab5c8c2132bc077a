// The least that a forked Node can be: it says that it runs, and ends with its parent.
process.on("disconnect", () => process.exit(0));
process.send("ready");
