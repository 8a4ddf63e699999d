import type { Protection } from "../../proto/client.ts";
import { CertificateError, type CertificatePaths, Certificates } from "../../proto/tls/certificates.ts";
import type { Role } from "../../proto/tls/identity.ts";
import { isLocal } from "../../proto/tls/loopback.ts";
import { InputError } from "./errors.ts";
import { flag, flagNameOf, grouped, option, optionalPath, type Parsed } from "./options.ts";

/** How this side of a connection shows who it is, and whom it believes. */
export const protectionOptions = grouped("TLS", {
  tlsCert: optionalPath(
    "--tls-cert <file>",
    "certificate of this program, PEM; elibad certs makes one. It is read again when it changes, as are the other two files",
    "none",
  ),
  tlsKey: optionalPath("--tls-key <file>", "its private key, PEM", "none"),
  tlsCa: optionalPath(
    "--tls-ca <file>",
    "certificates of the CAs that the other side's certificate may come from, PEM",
    "none",
  ),
  insecure: option(
    "--insecure",
    "plain text in the place of TLS, on this machine's own addresses only: whoever has an account here may do anything there",
    flag,
  ),
});

export type ProtectionOptions = Parsed<typeof protectionOptions>;

/** What is listened at or dialled, and the option that says so. */
export interface ProtectedPlace {
  readonly option: string;
  readonly addresses: readonly string[];
}

/**
 * The files that the options name, or that connections are plain.
 *
 * @throws InputError where the options do not go together, or somebody else may read along
 */
export function protectionOf(
  { tlsCert: cert, tlsKey: key, tlsCa: ca, insecure }: ProtectionOptions,
  place: ProtectedPlace,
): CertificatePaths | "plain" {
  const files = { "--tls-cert": cert, "--tls-key": key, "--tls-ca": ca };
  const missing = Object.entries(files).flatMap(([name, file]) => (file === undefined ? [name] : []));
  if (insecure) {
    if (missing.length < 3)
      throw new InputError("--insecure: has no meaning beside --tls-cert, --tls-key and --tls-ca");
    const outside = place.addresses.find((address) => !isLocal(address));
    if (outside === undefined) return "plain";
    throw new InputError(
      `${place.option} ${outside}: other machines reach this address, and --insecure is for this machine's own ones (127.0.0.1); ${HOW}`,
    );
  }
  if (missing.length === 3)
    throw new InputError(
      `${place.option} ${place.addresses.join(",")}: connections need certificates: ${HOW}; on this machine's own addresses --insecure does without`,
    );
  if (cert === undefined || key === undefined || ca === undefined)
    throw new InputError(`${missing.join(" and ")} missing: --tls-cert, --tls-key and --tls-ca go together`);
  return { cert, key, ca };
}

const HOW = "name --tls-cert, --tls-key and --tls-ca (`elibad certs DIR` makes them)";

/** A command's own coordinator and workers speak plain text, on this machine alone. @throws InputError where the options say something else */
export function requirePlainHere(options: ProtectionOptions & { readonly listen: string }): void {
  const given = (["tlsCert", "tlsKey", "tlsCa"] as const).find((name) => options[name] !== undefined);
  if (given !== undefined)
    throw new InputError(
      `${flagNameOf(protectionOptions[given])} ${options[given]}: is for a coordinator that runs (--coordinator); what a command starts itself speaks plain text, on this machine alone`,
    );
  if (!isLocal(options.listen))
    throw new InputError(
      `--listen ${options.listen}: other machines reach this address, and a command's own coordinator speaks plain text; run elibad coordinator with certificates for their workers, and name it with --coordinator`,
    );
}

/** What the options name, opened. @throws InputError */
export function openProtection(
  options: ProtectionOptions,
  place: ProtectedPlace,
  log?: (message: string, isProblem: boolean) => void,
): Protection {
  const found = protectionOf(options, place);
  if (found === "plain") return found;
  try {
    return new Certificates(found, { log });
  } catch (error) {
    if (error instanceof CertificateError) throw new InputError(error.message);
    throw error;
  }
}

/**
 * Looks at the options and at the files that they name, and keeps nothing open.
 *
 * @param role of the certificate, where nobody would take another one's
 * @throws InputError
 */
export function requireProtection(
  options: ProtectionOptions,
  { role, ...place }: ProtectedPlace & { readonly role?: Role },
): void {
  const protection = openProtection(options, place);
  if (protection === "plain") return;
  protection.close();
  const { identity } = protection.current;
  if (role === undefined || ("role" in identity && identity.role === role)) return;
  const whose = "role" in identity ? `is a certificate of ${identity.role}` : identity.problem;
  throw new InputError(`--tls-cert ${protection.paths.cert}: ${whose}, expected one of ${role}`);
}

/** The addresses that `--coordinator` names. */
export const addressesIn = (text: string): string[] => text.split(",").map((address) => address.trim());
