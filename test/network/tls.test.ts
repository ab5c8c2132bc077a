/** TLS: certificates that OpenSSL agrees with, mutual between nodes; tickets as keys between owners and workers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import tls from "node:tls";
import { InvalidOptionError } from "../../src/errors/index.ts";
import { newAuthority } from "../../src/runtime/network/certificates.ts";
import {
  createAuthority,
  issueCertificate,
  LinkHub,
  loadTls,
  Secret,
  ticketCredential,
  tokenCredential,
} from "../../src/runtime/network/index.ts";
import { Connection } from "../../src/runtime/transport/connection.ts";
import { freshFolder, leakChecked, waitUntil } from "../harness/index.ts";
import { because, call, port, strangePort, token } from "./ports.ts";

leakChecked();

function madeFolder(t: TestContext, hosts: string[] = []): string {
  const folder = path.join(freshFolder(t), "tls");
  createAuthority(folder);
  issueCertificate(folder, { hosts });
  return folder;
}

const refused =
  (...words: RegExp[]) =>
  (error: unknown): boolean =>
    error instanceof InvalidOptionError && !error.message.includes("\n") && words.every((word) => word.test(error.message));

test("the authority and what it signs are closed to others, and name the hosts", (t) => {
  const folder = madeFolder(t, ["10.1.2.3", "node-7.example", "2001:db8::7", "::ffff:1.2.3.4"]);
  assert.deepEqual(fs.readdirSync(folder).sort(), ["ca-key.pem", "ca.pem", "node-key.pem", "node.pem"]);
  assert.equal(fs.statSync(folder).mode & 0o777, 0o700);
  for (const name of fs.readdirSync(folder)) assert.equal(fs.statSync(path.join(folder, name)).mode & 0o777, 0o600, name);
  const cert = new X509Certificate(fs.readFileSync(path.join(folder, "node.pem")));
  const ca = new X509Certificate(fs.readFileSync(path.join(folder, "ca.pem")));
  assert.ok(ca.ca && !cert.ca && cert.checkIssued(ca) && cert.verify(ca.publicKey) && ca.verify(ca.publicKey));
  for (const ip of ["127.0.0.1", "::1", "10.1.2.3", "2001:db8::7"]) assert.equal(cert.checkIP(ip), ip);
  for (const host of ["localhost", "node-7.example"]) assert.equal(cert.checkHost(host), host);
  assert.equal(cert.checkHost("other.example"), undefined);
  assert.match(cert.subjectAltName!, /IP Address:0:0:0:0:0:FFFF:102:304/);
  const { expiresAt } = loadTls(folder);
  assert.ok(Math.abs(expiresAt - Date.now() - 730 * 86_400_000) < 60_000);
  assert.throws(() => createAuthority(folder), refused(/ca\.pem exists/));
});

test("openssl verifies the certificates, for both uses, and reads them as they are meant", (t) => {
  if (spawnSync("openssl", ["version"]).status !== 0) return t.skip("there is no openssl");
  const folder = madeFolder(t, ["10.1.2.3"]);
  const openssl = (...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync("openssl", args, { cwd: folder, encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return stdout;
  };
  for (const purpose of ["sslserver", "sslclient"]) {
    assert.match(openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", "ca.pem", "node.pem"), /node\.pem: OK/);
  }
  openssl("verify", "-x509_strict", "-verify_ip", "10.1.2.3", "-CAfile", "ca.pem", "node.pem");
  const shown = openssl("x509", "-noout", "-text", "-in", "node.pem");
  for (const words of [/Version: 3/, /prime256v1/, /ecdsa-with-SHA256/, /CA:FALSE/, /Digital Signature\n/, /IP Address:10\.1\.2\.3/]) {
    assert.match(shown, words);
  }
  assert.match(openssl("x509", "-noout", "-text", "-in", "ca.pem"), /CA:TRUE, pathlen:0[^]*Certificate Sign, CRL Sign/);
  // What ends after 2049 is written another way.
  fs.writeFileSync(path.join(folder, "far.pem"), newAuthority(36_500).cert);
  assert.match(openssl("x509", "-noout", "-enddate", "-in", "far.pem"), /notAfter=.* 21\d\d GMT/);
});

test("files that do not belong together, have ended, are open to others or missing are refused in one line", (t) => {
  const folder = madeFolder(t);
  const other = madeFolder(t);
  const copy = (name: string, from: string): void => fs.copyFileSync(path.join(from, name), path.join(folder, name));
  const keep = Object.fromEntries(fs.readdirSync(folder).map((name) => [name, fs.readFileSync(path.join(folder, name))]));
  const restore = (): void => {
    for (const [name, bytes] of Object.entries(keep)) fs.writeFileSync(path.join(folder, name), bytes, { mode: 0o600 });
  };
  copy("node-key.pem", other);
  assert.throws(() => loadTls(folder), refused(/does not belong to the key/));
  restore();
  copy("ca.pem", other);
  assert.throws(() => loadTls(folder), refused(/did not sign it/));
  assert.throws(() => issueCertificate(folder), refused(/does not belong to the key/));
  restore();
  assert.throws(() => loadTls(folder, Date.now() + 800 * 86_400_000), refused(/node\.pem .* ended on/, /mobula ca create/));
  assert.throws(() => loadTls(folder, Date.now() - 7_200_000), refused(/begins on/, /clock/));
  fs.chmodSync(path.join(folder, "node-key.pem"), 0o644);
  assert.throws(() => loadTls(folder), refused(/lets other users at it/, /chmod 600/));
  fs.writeFileSync(path.join(folder, "node-key.pem"), "no key");
  fs.chmodSync(path.join(folder, "node-key.pem"), 0o600);
  assert.throws(() => loadTls(folder), refused(/holds no key/));
  restore();
  fs.writeFileSync(path.join(folder, "node.pem"), "no certificate");
  assert.throws(() => loadTls(folder), refused(/holds no certificate/));
  fs.rmSync(path.join(folder, "node.pem"));
  assert.throws(() => loadTls(folder), refused(/Cannot read node\.pem/, /mobula ca create/));
  for (const host of ["a b", "", "-x", "http://x"]) assert.throws(() => issueCertificate(other, { hosts: [host] }), /no host name/);
});

test("nodes with certificates of one authority connect, and what crosses is not in the clear", async (t) => {
  const certificates = loadTls(madeFolder(t));
  const { listener, met } = await port(t, { tls: certificates });
  let wire = Buffer.alloc(0);
  const tapped = await strangePort(t, (near) => {
    const far = net.connect(listener.port, "127.0.0.1");
    const pass = (from: net.Socket, to: net.Socket): void => {
      from.on("data", (data: Buffer) => {
        wire = Buffer.concat([wire, data]);
        to.write(data);
      });
      from.on("error", () => {}).on("close", () => to.destroy());
    };
    pass(near, far);
    pass(far, near);
  });
  const { socket, secure, peer } = await call(t, tapped, { tls: certificates, host: "localhost" });
  assert.ok(secure && met[0]!.secure);
  assert.equal(peer.id, "n1");
  assert.equal((socket as tls.TLSSocket).getProtocol(), "TLSv1.3");
  const got: string[] = [];
  new Connection(met[0]!.socket, { message: (name) => void got.push(name), closed: () => {} });
  const connection = new Connection(socket, { message: () => {}, closed: () => {} });
  for (let i = 0; i < 500; i++) connection.send("exitRequest", { reason: `visible-words ${"x".repeat(i)}`, ifIdle: false });
  await waitUntil(() => got.length === 500, "all have come");
  assert.ok(wire.length > 100_000 && !wire.includes("visible-words") && !wire.includes("mobula"), "nothing is readable");
});

test("without a certificate, with one of another authority, or for another host there is no connection, with the reason", async (t) => {
  const [mine, other] = [loadTls(madeFolder(t)), loadTls(madeFolder(t))];
  const { listener, met, lines } = await port(t, { tls: mine });
  await assert.rejects(call(t, listener.port), because("tls", "speaks TLS", "--tls-dir"));
  await assert.rejects(call(t, listener.port, { tls: other }), because("tls", "mobula ca create"));
  await assert.rejects(call(t, listener.port, { tls: { ...other, ca: mine.ca } }), because("tls", "certificate|certificates"));
  const elsewhere = await port(t, { tls: mine, host: "127.0.0.9" });
  await assert.rejects(call(t, elsewhere.listener.port, { tls: mine, host: "127.0.0.9" }), because("tls", "ERR_TLS_CERT_ALTNAME_INVALID"));
  await assert.rejects(call(t, listener.port, { tls: mine, credentials: tokenCredential(Secret.random()) }), because("token"));
  const plain = await port(t);
  await assert.rejects(call(t, plain.listener.port, { tls: mine }), because("tls", "does not speak TLS"));
  assert.equal(met.length, 0);
  await waitUntil(() => listener.statistics().pending === 0, "nothing is left");
  assert.ok(lines.length >= 3);
  // A client without any certificate, as a browser or a scanner would be.
  const stranger = tls.connect({ port: listener.port, host: "127.0.0.1", rejectUnauthorized: false });
  stranger.on("error", () => {});
  await waitUntil(() => stranger.destroyed, "it is sent away");
  await call(t, listener.port, { tls: mine });
});

test("a worker's ticket is the key of its TLS, and opens no other worker", async (t) => {
  const credential = ticketCredential(Secret.random(), "w1");
  const other = Secret.random();
  const { listener, met } = await port(t, {
    credentials: credential,
    tls: "credential",
    self: { role: "worker", id: "w1", incarnation: 0 },
  });
  const { socket, peer } = await call(t, listener.port, { credentials: credential, tls: "credential" });
  assert.equal(peer.credential, "worker:w1");
  assert.equal((socket as tls.TLSSocket).getProtocol(), "TLSv1.3");
  // Newer Nodes say so of a key exchange that is safe from quantum computers too.
  const exchange = (socket as tls.TLSSocket).getEphemeralKeyInfo() as { type?: string } | null;
  assert.ok(["ECDH", "TLSGroup"].includes(exchange?.type ?? ""), "keys are new each time");
  met[0]!.socket.write("hello");
  const heard = new Promise<string>((resolve) => socket.once("data", (data: Buffer) => resolve(data.toString())));
  assert.equal(await heard, "hello");
  for (const wrong of [ticketCredential(other, "w1"), ticketCredential(other, "w2"), tokenCredential(token)]) {
    await assert.rejects(call(t, listener.port, { credentials: wrong, tls: "credential" }), because("tls"));
  }
  await assert.rejects(call(t, listener.port, { credentials: credential }), because("tls"));
  await waitUntil(() => listener.statistics().pending === 0, "nothing is left");
  assert.equal(met.length, 1);
});

test("a handshake is tied to its TLS session: a man in the middle with a certificate of the cluster gets nowhere", async (t) => {
  const certificates = loadTls(madeFolder(t));
  const { listener, met } = await port(t, { tls: certificates });
  // It ends the TLS of both sides and passes the handshake on between them.
  const middle = tls.createServer({ ...certificates, requestCert: true }, (near) => {
    const far = tls.connect({ ...certificates, port: listener.port, host: "127.0.0.1" });
    near.on("error", () => far.destroy()).on("close", () => far.destroy());
    far.on("error", () => near.destroy()).on("close", () => near.destroy());
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => middle.listen(0, "127.0.0.1", resolve));
  t.after(() => void middle.close());
  await assert.rejects(call(t, (middle.address() as net.AddressInfo).port, { tls: certificates }), because("token"));
  assert.equal(met.length, 0);
});

test("a link goes over TLS", async (t) => {
  const certificates = loadTls(madeFolder(t));
  const got: number[] = [];
  const hubs: LinkHub[] = [];
  const hub = (id: string): LinkHub => {
    const made = new LinkHub({
      self: { role: "node", id, incarnation: 1 },
      clusterId: "c1",
      credentials: tokenCredential(token),
      tls: certificates,
      onMessage: (_from, _name, body) => void got.push(Number((body as { reason: string }).reason)),
    });
    hubs.push(made);
    return made;
  };
  t.after(() => hubs.forEach((each) => each.close()));
  const b = hub("n1");
  const { listener } = await port(t, { tls: certificates, onConnection: (connection) => b.accept(connection) });
  const link = hub("n2").link("n1", { host: "127.0.0.1", port: listener.port });
  for (let i = 0; i < 2000; i++) link.send("exitRequest", { reason: String(i), ifIdle: false });
  await waitUntil(() => got.length === 2000, "all have come");
  assert.ok(got.every((n, i) => n === i));
});
