import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Role } from "../../proto/tls/identity.ts";
import { createAuthority, hostsOf, type Issued, issue, type Purpose, validFor } from "./issue.ts";

/** The certificates that a cluster needs, by the names of their files. */
export const CERTIFICATE_NAMES = ["coordinator", "worker", "submitter", "admin", "nats-server"] as const;
export type CertificateName = (typeof CERTIFICATE_NAMES)[number];

/** Who is dialled by a name has it in the certificate; who dials has none, so that nobody can take it for a server. */
const KINDS: Readonly<
  Record<CertificateName, Omit<Purpose, "hosts" | "commonName"> & { readonly isDialled: boolean }>
> = {
  // It dials NATS servers, too.
  coordinator: { role: "coordinator", usages: ["server", "client"], isDialled: true },
  worker: { role: "worker", usages: ["client"], isDialled: false },
  submitter: { role: "submitter", usages: ["client"], isDialled: false },
  admin: { role: "admin", usages: ["client"], isDialled: false },
  // Servers of one NATS cluster dial each other.
  "nats-server": { usages: ["server", "client"], isDialled: true },
};

/** A file that was written: for a certificate, whose it is, how it is reached and until when it is valid. */
export interface WrittenCertificate {
  readonly file: string;
  readonly role: Role | null;
  readonly hosts: readonly string[];
  readonly valid_until: string;
}

/** What is in the way of writing certificates. */
export class CertificateFolderError extends Error {
  override readonly name = "CertificateFolderError";
}

export interface FolderOptions {
  readonly days: number;
  readonly nowMs: number;
  /** Writes a file as a whole; keys are readable for their owner alone. */
  readonly write: (file: string, content: string, mode: number) => void;
}

/** A CA outlives the certificates that it signs. */
const AUTHORITY_DAYS = 3_650;

/**
 * Makes a CA and a certificate for everybody.
 *
 * @throws CertificateFolderError where a file is there already, and `force` does not say that it may go
 */
export async function makeCertificates(
  folder: string,
  {
    hosts,
    force,
    ...options
  }: FolderOptions & { readonly hosts: readonly string[]; readonly force: boolean },
): Promise<WrittenCertificate[]> {
  const there = ["ca", ...CERTIFICATE_NAMES]
    .flatMap((name) => [`${name}.crt`, `${name}.key`])
    .find((name) => existsSync(join(folder, name)));
  if (there !== undefined && !force)
    throw new CertificateFolderError(
      `${join(folder, there)} is there already: --renew NAME makes a new certificate of the same CA, --force a new CA and everything anew`,
    );
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const authority = await newAuthority(options);
  writePair(folder, "ca", authority, options);
  const written: WrittenCertificate[] = [];
  for (const name of CERTIFICATE_NAMES)
    written.push(
      await writeCertificate(folder, name, { authority, hosts: KINDS[name].isDialled ? hosts : [], options }),
    );
  return written;
}

/**
 * Makes one certificate anew, with a new key and the CA that is there.
 *
 * @param hosts absent: those of the certificate before
 * @throws CertificateFolderError where there is no CA
 */
export async function renewCertificate(
  folder: string,
  name: CertificateName,
  { hosts, ...options }: FolderOptions & { readonly hosts: readonly string[] | undefined },
): Promise<WrittenCertificate> {
  const authority = readAuthority(folder);
  const before = join(folder, `${name}.crt`);
  const { isDialled } = KINDS[name];
  const kept = isDialled && existsSync(before) ? hostsOf(readFileSync(before, "utf8")) : [];
  const named = isDialled ? (hosts ?? kept) : [];
  if (isDialled && named.length === 0)
    throw new CertificateFolderError(
      `${before} is not there: name the hosts that its holder is dialled at, --host`,
    );
  return writeCertificate(folder, name, { authority, hosts: named, options });
}

/**
 * Makes a new CA. `ca.crt` then has both, the new one first, so that whoever reads it believes certificates of either: until all are renewed, and the old CA
 * is taken out of the file.
 */
export async function renewAuthority(folder: string, options: FolderOptions): Promise<void> {
  const before = readAuthorityFile(folder, "ca.crt");
  const { certificate, key } = await newAuthority(options);
  writePair(folder, "ca", { certificate: certificate + before, key }, options);
}

const newAuthority = ({ days, nowMs }: FolderOptions): Promise<Issued> =>
  createAuthority("elibad CA", validFor(Math.max(days, AUTHORITY_DAYS), nowMs));

/**
 * The CA that signs; `ca.crt` may have others behind it.
 *
 * @throws CertificateFolderError also where the key is another CA's, as after a renewal that broke off, or when the wrong CA was taken out: nobody would believe what it signs
 */
function readAuthority(folder: string): Issued {
  const authority = {
    certificate: readAuthorityFile(folder, "ca.crt"),
    key: readAuthorityFile(folder, "ca.key"),
  };
  if (!isPair(authority))
    throw new CertificateFolderError(
      `${join(folder, "ca.key")} is not the key of the first certificate in ca.crt: --renew ca makes a new CA in front of those that are there`,
    );
  return authority;
}

/** Whether the key is that of the certificate, of the first one where there are several. */
function isPair({ certificate, key }: Issued): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function readAuthorityFile(folder: string, name: "ca.crt" | "ca.key"): string {
  const file = join(folder, name);
  if (!existsSync(file))
    throw new CertificateFolderError(
      `${file} is not there: elibad certs ${folder} makes a CA, and everything else`,
    );
  return readFileSync(file, "utf8");
}

async function writeCertificate(
  folder: string,
  name: CertificateName,
  {
    authority,
    hosts,
    options,
  }: { readonly authority: Issued; readonly hosts: readonly string[]; readonly options: FolderOptions },
): Promise<WrittenCertificate> {
  const { role, usages } = KINDS[name];
  const validity = validFor(options.days, options.nowMs);
  const purpose = { commonName: `elibad ${name}`, usages, hosts, ...(role && { role }) };
  const issued = await issue(authority, purpose, validity);
  writePair(folder, name, issued, options);
  return {
    file: join(folder, `${name}.crt`),
    role: role ?? null,
    hosts,
    valid_until: new Date(new X509Certificate(issued.certificate).validTo).toISOString(),
  };
}

/** The key first: until the certificate follows, whoever reads both keeps those that they have. */
function writePair(
  folder: string,
  name: string,
  { certificate, key }: Issued,
  { write }: FolderOptions,
): void {
  write(join(folder, `${name}.key`), key, 0o600);
  write(join(folder, `${name}.crt`), certificate, 0o644);
}
