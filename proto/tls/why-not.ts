import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Protection } from "../client.ts";
import type { Certificates } from "./certificates.ts";
import { coordinatorProblem, dialledHost } from "./dialled.ts";

/** How long somebody may take to say something. */
const PATIENCE_MS = 2_000;

/**
 * Why a coordinator at `address`, which could not be reached, takes no connection: by what its certificate is, or does with ours. The gRPC library keeps that to
 * itself. Undefined where it has nothing to do with certificates, as where nobody listens.
 */
export function whyNot(address: string, protection: Protection): Promise<string | undefined> {
  const place = placeOf(address);
  return protection === "plain" ? whyNotPlain(address, place) : whyNotTls(address, place, protection);
}

type Place = { readonly path: string } | { readonly host: string; readonly port: number };

const placeOf = (address: string): Place =>
  address.startsWith("unix:")
    ? { path: address.slice("unix:".length) }
    : { host: dialledHost(address), port: Number(/\d+$/.exec(address)?.[0]) };

function whyNotPlain(address: string, place: Place): Promise<string | undefined> {
  const socket = connectPlain(place);
  return answerOf(socket, (settle) => {
    socket.once("connect", () =>
      settle(
        `${address} answers, and not in plain text: coordinators with certificates are dialled with --tls-cert, --tls-key and --tls-ca`,
      ),
    );
    socket.once("error", () => settle(undefined));
  });
}

function whyNotTls(address: string, place: Place, certificates: Certificates): Promise<string | undefined> {
  const { paths, current } = certificates;
  const host = dialledHost(address);
  const socket: TLSSocket = connectTls({
    ...place,
    secureContext: current.context,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ALPNProtocols: ["h2"],
    checkServerIdentity: (_, certificate) => coordinatorProblem(host, certificate),
  });
  const refused = `${address} does not take the certificate ${paths.cert}: its log says why`;
  let isConnected = false;
  return answerOf(socket, (settle) => {
    socket.once("secureConnect", () => {
      isConnected = true;
    });
    // Who takes a certificate says something; who does not, hangs up.
    socket.once("data", () => settle(undefined));
    socket.once("close", () => settle(isConnected ? refused : undefined));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (isConnected || error.code?.includes("_ALERT_")) return settle(refused);
      settle(sentenceOf(error, { address, host, authorities: paths.ca }));
    });
  });
}

function sentenceOf(
  { code = "", message }: NodeJS.ErrnoException,
  {
    address,
    host,
    authorities,
  }: { readonly address: string; readonly host: string; readonly authorities: string },
): string | undefined {
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "EPROTO")
    return `${address} speaks no TLS: it runs with --insecure, or is no coordinator`;
  if (code === "CERT_HAS_EXPIRED") return `the certificate of ${address} has expired`;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return `the certificate of ${address} is not for ${host}`;
  if (FOREIGN.has(code)) return `the certificate of ${address} is from no CA in --tls-ca ${authorities}`;
  if (code === "") return `the certificate of ${address} ${message}`;
  return code.startsWith("E") && !code.startsWith("ERR_")
    ? undefined
    : `${address} cannot be dialled over TLS: ${message}`;
}

/** What OpenSSL says of a certificate of somebody else's CA. */
const FOREIGN: ReadonlySet<string> = new Set([
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_SIGNATURE_FAILURE",
]);

/** What `listen` settles on, undefined where that takes too long; the socket is gone then. */
async function answerOf(
  socket: Socket,
  listen: (settle: (answer: string | undefined) => void) => void,
): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve) => {
      timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
      listen(resolve);
    });
  } finally {
    clearTimeout(timer);
    socket.on("error", () => {});
    socket.destroy();
  }
}
