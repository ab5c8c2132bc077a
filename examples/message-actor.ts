/** An actor as a mailbox: three tasks write to it while the program reads. */
import * as ray from "mobula";

interface Message {
  readonly from: string;
  readonly text: string;
}

class Mailbox {
  #messages: Message[] = [];
  post(message: Message) {
    this.#messages.push(message);
  }
  /** What has come since the last time. */
  collect() {
    return this.#messages.splice(0);
  }
}

const mailbox = ray.remote(Mailbox).remote();

// The handle is an argument like any other. Awaiting each post keeps a sender's messages in its order.
const send = ray.remote(async (from: string, box: ray.ActorHandle<Mailbox>) => {
  for (const text of ["hello", "how are you?", "goodbye"]) await ray.get(box.post.remote({ from, text }));
});

const senders = ["ada", "ben", "cleo"];
let running = senders.map((name) => send.remote(name, mailbox));

const heard = new Map<string, string[]>(senders.map((name) => [name, []]));
while (running.length > 0) {
  [, running] = await ray.wait(running);
  for (const { from, text } of await ray.get(mailbox.collect.remote())) heard.get(from)!.push(text);
}

for (const [name, texts] of heard) console.log(`${name}: ${texts.join(" ")}`);

await ray.shutdown();
