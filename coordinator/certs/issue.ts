import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { identityUri, type Role } from "../../proto/tls/identity.ts";

cryptoProvider.set(webcrypto);

/** P-256: every TLS library takes it, and a key is made at once. */
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** Clocks of a cluster may differ; a certificate is valid a little before it was made. */
const CLOCK_SKEW_MS = 5 * 60_000;

/** A certificate and its private key, as PEM. */
export interface Issued {
  readonly certificate: string;
  readonly key: string;
}

export interface Validity {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** From now on. */
export const validFor = (days: number, nowMs: number): Validity => ({
  fromMs: nowMs - CLOCK_SKEW_MS,
  untilMs: nowMs + days * 86_400_000,
});

/** What a certificate is for. */
export interface Purpose {
  readonly commonName: string;
  /** Absent where it has no calls to make or to answer with elibad's own roles, as a NATS server's. */
  readonly role?: Role;
  /** Names and addresses under which its holder is dialled. */
  readonly hosts: readonly string[];
  readonly usages: readonly ("server" | "client")[];
}

/** A new CA, whose certificate signs itself. */
export async function createAuthority(commonName: string, { fromMs, untilMs }: Validity): Promise<Issued> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${commonName}`,
    notBefore: new Date(fromMs),
    notAfter: new Date(untilMs),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pemOf(certificate), key: await keyPem(keys.privateKey) };
}

/** A certificate with a new key, signed by the CA. It ends with its CA at the latest. @throws where the CA's key cannot be read */
export async function issue(
  authority: Issued,
  purpose: Purpose,
  { fromMs, untilMs }: Validity,
): Promise<Issued> {
  const issuer = new X509Certificate(authority.certificate);
  const keys = await newKeys();
  const { commonName, role, hosts, usages } = purpose;
  const names: JsonGeneralName[] = hosts.map((host) => ({
    type: isIP(host) === 0 ? "dns" : "ip",
    value: host,
  }));
  if (role !== undefined) names.push({ type: "url", value: identityUri(role) });
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${commonName}`,
    issuer: issuer.subject,
    notBefore: new Date(fromMs),
    notAfter: new Date(Math.min(untilMs, issuer.notAfter.getTime())),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: await readKey(authority.key),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(usages.map((usage) => USAGES[usage])),
      new SubjectAlternativeNameExtension(names),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return { certificate: pemOf(certificate), key: await keyPem(keys.privateKey) };
}

/** The names and addresses in a certificate. */
export function hostsOf(certificate: string): string[] {
  const names =
    new X509Certificate(certificate).getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
  return names.filter(({ type }) => type === "dns" || type === "ip").map(({ value }) => value);
}

const USAGES = { server: ExtendedKeyUsage.serverAuth, client: ExtendedKeyUsage.clientAuth } as const;

const newKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);

const pemOf = (certificate: X509Certificate): string => `${certificate.toString("pem")}\n`;

const keyPem = async (key: webcrypto.CryptoKey): Promise<string> =>
  `${PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), PemConverter.PrivateKeyTag)}\n`;

const readKey = (pem: string): Promise<webcrypto.CryptoKey> =>
  webcrypto.subtle.importKey("pkcs8", PemConverter.decodeFirst(pem), ALGORITHM, false, ["sign"]);
