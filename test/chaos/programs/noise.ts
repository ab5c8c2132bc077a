/** Tasks that print what its argument names. */
import * as ray from "mobula";

const says = {
  plain: () => console.log("hello from a task"),
  repeated: () => {
    for (let i = 0; i < 500; i++) console.log("the same line");
    for (let i = 0; i < 20; i++) console.error("the same line");
  },
  partial: () => void process.stdout.write("no newline at its end"),
  binary: () => void process.stdout.write(Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 151) & 255))),
  long: () => void process.stdout.write(`${"x".repeat(3_000_000)}\nafter the long line\n`),
  much: () => {
    const line = `${"y".repeat(999)}\n`;
    for (let i = 0; i < 100; i++) process.stdout.write(`${i}${line.repeat(1_000)}`);
  },
  crash: () => {
    console.error("the last line before the end");
    process.kill(process.pid, "SIGKILL");
  },
};
const how = process.argv[2] as keyof typeof says;
await ray.init({ numCpus: 1 });
const [end] = await Promise.allSettled([ray.get(ray.remote(says[how], { name: how, maxRetries: 0 }).remote())]);
if (end.status === "rejected") console.log(`rejected: ${(end.reason as Error).message}`);
await ray.shutdown();
console.log("done");
