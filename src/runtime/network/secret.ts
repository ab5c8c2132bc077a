/**
 * A secret that cannot be printed by accident, and the keys that are derived from it. The text itself leaves by `expose`
 * alone. What is derived has a domain in front, so that a proof made for one purpose is worth nothing for another.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { inspect } from "node:util";

const SHOWN = "[secret]";

export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** 256 random bits. */
  static random(): Secret {
    return new Secret(randomBytes(32).toString("base64url"));
  }

  /** The text, for a file of mode 0600 or a header over TLS; never for a log or an error. */
  expose(): string {
    return this.#text;
  }

  /** Takes the same time whatever differs, the lengths too. */
  equals(other: Secret | string): boolean {
    const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
    return timingSafeEqual(digest(this.#text), digest(other instanceof Secret ? other.#text : other));
  }

  /** A key for one purpose. `parts` cannot run into each other. */
  derive(purpose: string, ...parts: readonly (string | Uint8Array)[]): Buffer {
    return authenticate(Buffer.from(this.#text), purpose, ...parts);
  }

  toString(): string {
    return SHOWN;
  }

  toJSON(): string {
    return SHOWN;
  }

  [Symbol.toPrimitive](): string {
    return SHOWN;
  }

  [inspect.custom](): string {
    return SHOWN;
  }
}

/** HMAC-SHA256 over the purpose and the parts, each with its length in front. */
export function authenticate(key: Uint8Array, purpose: string, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const hmac = createHmac("sha256", key);
  for (const part of [purpose, ...parts]) {
    const bytes = typeof part === "string" ? Buffer.from(part) : part;
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32LE(bytes.byteLength);
    hmac.update(length).update(bytes);
  }
  return hmac.digest();
}

/** A secret by the name that both sides know it by. The name crosses, the secret never does. */
export interface Credential {
  readonly name: string;
  readonly secret: Secret;
}

/** What a listener accepts: one credential, or the secret of a name, or undefined for a name that is not known. */
export type Accepted = Credential | ((name: string) => Secret | undefined);

/** The cluster's token: it admits nodes, control and clients. */
export const CLUSTER = "cluster";

/** Of a token as it was found: the cluster's, or that of a submitted job, which says in front which one. */
export function tokenCredential(token: Secret): Credential {
  const job = jobOfToken(token.expose());
  return { name: job === undefined ? CLUSTER : jobCredentialName(job), secret: token };
}

/**
 * The token of a submitted job. It follows from the cluster's token, so that whoever has that can check it and nobody else can make
 * one. Whether the job still runs, and the token is good, is control's to say.
 */
export function jobToken(cluster: Secret, jobId: string): Secret {
  return new Secret(`job.${jobId}.${cluster.derive("mobula job token", jobId).toString("base64url")}`);
}

/** The job that a token is of, by its form alone. */
export const jobOfToken = (token: string): string | undefined => /^job\.([\w-]{1,64})\.[\w-]{43}$/.exec(token)?.[1];

/** What shows that a token is the one of a node here, and does not show the token. */
export const tokenMark = (token: Secret, nodeId: string): string => token.derive("mobula node here", nodeId).toString("base64url");

const JOB = "job:";
export const jobCredentialName = (jobId: string): string => `${JOB}${jobId}`;
/** The job whose token somebody has proven; undefined for another credential. */
export const jobOfCredential = (name: string): string | undefined => (name.startsWith(JOB) ? name.slice(JOB.length) : undefined);

/** The right to talk to one worker, which makes its ticket itself. */
export const ticketCredential = (ticket: Secret, workerId: string): Credential => ({ name: `worker:${workerId}`, secret: ticket });

export function secretOf(accepted: Accepted, name: string): Secret | undefined {
  if (typeof accepted === "function") return accepted(name);
  return accepted.name === name ? accepted.secret : undefined;
}
