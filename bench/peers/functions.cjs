// What every pool of npm runs; a worker file of piscina and of tinypool as it is: these take one argument and a name.
exports.smallValue = () => "ok";
exports.increment = (x) => x + 1;
exports.add = ([a, b]) => a + b;
exports.busy = (ms) => {
  const end = performance.now() + ms;
  while (performance.now() < end);
};
