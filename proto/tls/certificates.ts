import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import { type Identity, identityOf } from "./identity.ts";

/** Files of PEM: a certificate (with what stands between it and its CA), its private key, and the CAs that others' certificates must come from. */
export interface CertificatePaths {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** What the files held when they were read, checked: the key belongs to the certificate, and the certificate is valid now. */
export interface LoadedCertificates {
  /** For a server or a client of any sort; TLS 1.2 at least. */
  readonly options: Required<Pick<SecureContextOptions, "cert" | "key" | "ca" | "minVersion">>;
  readonly context: SecureContext;
  readonly identity: Identity;
  readonly expires: Date;
}

/** A file of certificates that cannot be used; the message names option, file and what is wrong. */
export class CertificateError extends Error {
  override readonly name = "CertificateError";
  constructor(kind: keyof CertificatePaths, file: string, problem: string) {
    super(`--tls-${kind} ${file}: ${problem}`);
  }
}

export interface WatchOptions {
  /** Hears of what was read again, and of what was not taken and why. */
  readonly log?: ((message: string, isProblem: boolean) => void) | undefined;
  /** How often the files are looked at. */
  readonly refreshMs?: number;
}

const REFRESH_MS = 2_000;

/**
 * Certificates that are read again when their files change. They are looked at by their bytes, not watched by name: Kubernetes changes a mounted Secret by
 * exchanging a link above the files. What cannot be used, as a certificate whose key is not there yet, is not taken; the last good ones stay.
 */
export class Certificates {
  readonly paths: CertificatePaths;
  readonly #log: NonNullable<WatchOptions["log"]>;
  readonly #timer: NodeJS.Timeout;
  readonly #listeners = new Set<(loaded: LoadedCertificates) => void>();
  #bytes: FileBytes;
  #loaded: LoadedCertificates;
  /** What was said of files that are not taken, so that it is said once. */
  #said: string | undefined;

  /** @throws CertificateError */
  constructor(paths: CertificatePaths, { log = () => {}, refreshMs = REFRESH_MS }: WatchOptions = {}) {
    this.paths = paths;
    this.#log = log;
    this.#bytes = readFiles(paths);
    this.#loaded = load(paths, this.#bytes, Date.now());
    this.#timer = setInterval(() => this.refresh(), refreshMs);
    this.#timer.unref();
  }

  /** The last good ones. */
  get current(): LoadedCertificates {
    return this.#loaded;
  }

  /** Why the files hold what is not taken, so that older ones are in use; undefined where they hold what is. */
  get problem(): string | undefined {
    return this.#said;
  }

  /** Calls `listener` with what takes the place of the current ones. Answers how to stop that. */
  subscribe(listener: (loaded: LoadedCertificates) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks at the files now. True where they hold what is in use: a problem means that older ones stay. */
  refresh(): boolean {
    try {
      const bytes = readFiles(this.paths);
      if (!isSame(bytes, this.#bytes)) {
        this.#loaded = load(this.paths, bytes, Date.now());
        this.#bytes = bytes;
        this.#log(
          `certificates were read again; ${this.paths.cert} is valid until ${dayOf(this.#loaded.expires)}`,
          false,
        );
        for (const listener of this.#listeners) listener(this.#loaded);
      }
      this.#said = undefined;
      return true;
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#said)
        this.#log(`certificates are not taken, the ones before stay in use: ${message}`, true);
      this.#said = message;
      return false;
    }
  }

  /** Looks no more. */
  close(): void {
    clearInterval(this.#timer);
    this.#listeners.clear();
  }
}

type FileBytes = Readonly<Record<keyof CertificatePaths, Buffer>>;

const KINDS = ["cert", "key", "ca"] as const;

function readFiles(paths: CertificatePaths): FileBytes {
  const read = (kind: keyof CertificatePaths): Buffer => {
    try {
      return readFileSync(paths[kind]);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new CertificateError(kind, paths[kind], READ_PROBLEMS[code ?? ""] ?? message);
    }
  };
  return { cert: read("cert"), key: read("key"), ca: read("ca") };
}

const READ_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "permission denied",
  EISDIR: "is a folder, expected a file",
};

const isSame = (a: FileBytes, b: FileBytes): boolean => KINDS.every((kind) => a[kind].equals(b[kind]));

/** @throws CertificateError */
function load(paths: CertificatePaths, bytes: FileBytes, nowMs: number): LoadedCertificates {
  const fail = (kind: keyof CertificatePaths, problem: string): never => {
    throw new CertificateError(kind, paths[kind], problem);
  };
  const [leaf] = certificatesIn("cert", bytes, fail);
  const from = new Date(leaf!.validFrom);
  const expires = new Date(leaf!.validTo);
  if (nowMs >= expires.getTime()) fail("cert", `expired on ${dayOf(expires)}`);
  if (nowMs < from.getTime())
    fail("cert", `is valid from ${dayOf(from)} on, and this machine's clock is before that`);
  if (!leaf!.checkPrivateKey(privateKeyIn(bytes, fail)))
    fail("key", `is not the key of the certificate in --tls-cert ${paths.cert}`);
  for (const authority of certificatesIn("ca", bytes, fail))
    if (!authority.ca)
      fail("ca", `has a certificate in it that is no CA's: ${authority.subject.replaceAll("\n", ", ")}`);
  const options = { cert: bytes.cert, key: bytes.key, ca: bytes.ca, minVersion: "TLSv1.2" } as const;
  try {
    const context = createSecureContext(options);
    return { options, context, identity: identityOf(leaf!.subjectAltName), expires };
  } catch (error) {
    return fail("cert", `cannot be used: ${(error as Error).message}`);
  }
}

type Fail = (kind: keyof CertificatePaths, problem: string) => never;

/** Every certificate in a file of PEM, at least one. */
function certificatesIn(kind: "cert" | "ca", bytes: FileBytes, fail: Fail): X509Certificate[] {
  const text = bytes[kind].toString("latin1");
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g);
  if (blocks === null) return fail(kind, "has no certificate in PEM in it (-----BEGIN CERTIFICATE-----)");
  // A file that is half written may end within a certificate.
  if (text.split("-----BEGIN").length - 1 !== blocks.length)
    return fail(kind, "ends within a certificate, or has something else in it");
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return fail(kind, "has a certificate in it that cannot be read");
  }
}

function privateKeyIn(bytes: FileBytes, fail: Fail): KeyObject {
  try {
    return createPrivateKey(bytes.key);
  } catch {
    return fail("key", "has no private key in PEM in it that can be read without a password");
  }
}

const dayOf = (date: Date): string => date.toISOString().replace(/\.\d+Z$/, "Z");
