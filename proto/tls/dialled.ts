import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { identityOf } from "./identity.ts";
import { hostOf } from "./loopback.ts";

/** The name or address that the certificate of who is dialled has to have. */
export const dialledHost = (address: string): string => hostOf(address) ?? "localhost";

/** Why a certificate is not that of the coordinator at `host`. */
export function coordinatorProblem(host: string, certificate: PeerCertificate): Error | undefined {
  const wrongHost = checkServerIdentity(host, certificate);
  if (wrongHost) return wrongHost;
  const identity = identityOf(certificate.subjectaltname);
  if ("problem" in identity) return new Error(`is no coordinator's: ${identity.problem}`);
  if (identity.role !== "coordinator")
    return new Error(`is for the role ${identity.role}, not a coordinator's`);
  return undefined;
}
