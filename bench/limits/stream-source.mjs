/** The sending end of stream.ts: `node stream-source.mjs BYTES`. It writes them once for each byte that it gets. */
import net from "node:net";

const bytes = Number(process.argv[2]);
const memory = new Uint8Array(bytes).fill(7);
const server = net.createServer({ noDelay: true }, (socket) => {
  // The reader goes when it has measured.
  socket.on("error", () => socket.destroy());
  socket.on("data", () => {
    let at = 0;
    const more = () => {
      while (at < bytes) {
        const part = memory.subarray(at, at + 2 ** 20);
        at += part.byteLength;
        if (!socket.write(part)) return socket.once("drain", more);
      }
    };
    more();
  });
});
server.listen(0, "127.0.0.1", () => process.send(server.address().port));
process.on("disconnect", () => process.exit(0));
