import type { ListenOptions } from "node:net";
import { createServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { type Server, ServerCredentials } from "@grpc/grpc-js";
import type { Certificates } from "../../proto/tls/certificates.ts";
import { type Identity, identityOf } from "../../proto/tls/identity.ts";

/** Why there is no connection; few, since they label a metric. */
export const HANDSHAKE_REFUSALS = [
  "no_certificate",
  "unknown_ca",
  "expired",
  "bad_certificate",
  "no_tls",
  "handshake",
] as const;
export type HandshakeRefusal = (typeof HANDSHAKE_REFUSALS)[number];

export interface RefusedConnection {
  readonly reason: HandshakeRefusal;
  /** In the words of the TLS library. */
  readonly problem: string;
  /** `host:port`, where it is known. */
  readonly peer: string;
  /** What the certificate claims; nobody vouches for it. */
  readonly identity?: Identity;
}

/** A client may take this long to shake hands. */
const HANDSHAKE_MS = 10_000;

/**
 * Takes TLS connections for a gRPC server: those whose certificate is good are handed on, others are closed before a byte of them is read as HTTP. The gate is
 * Node's own TLS server, since the one inside the gRPC library tells nobody of whom it refused, or why. New connections get the certificates of the moment.
 */
export class TlsGate {
  readonly #injector: ReturnType<Server["createConnectionInjector"]>;
  readonly #certificates: Certificates;
  readonly #onRefused: (refused: RefusedConnection) => void;
  readonly #handshakeMs: number;
  readonly #servers = new Set<TlsServer>();
  readonly #unsubscribe: () => void;

  constructor(
    server: Server,
    certificates: Certificates,
    onRefused: (refused: RefusedConnection) => void,
    handshakeMs = HANDSHAKE_MS,
  ) {
    this.#injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#certificates = certificates;
    this.#onRefused = onRefused;
    this.#handshakeMs = handshakeMs;
    this.#unsubscribe = certificates.subscribe(({ options }) => {
      for (const each of this.#servers) each.setSecureContext(options);
    });
  }

  /** Answers the port. @throws the system's error */
  async listen(place: Pick<ListenOptions, "host" | "port" | "path">): Promise<number> {
    const server = createServer({
      ...this.#certificates.current.options,
      requestCert: true,
      // Not left to the library, which closes such a connection before anybody can see whose it was; #take does it.
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
      handshakeTimeout: this.#handshakeMs,
      noDelay: true,
    });
    server.on("secureConnection", (socket) => this.#take(socket));
    server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      const reason = FAILURES[error.code ?? ""] ?? "handshake";
      // Somebody who only looked whether anybody listens, as probes do.
      if (error.code === "ECONNRESET") return;
      this.#onRefused({ reason, problem: problemOf(error), peer: peerOf(socket) });
      // Node leaves the connection open of who said nothing for too long.
      socket.destroy();
    });
    this.#servers.add(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(place, () => {
        server.off("error", reject);
        // An error of a socket that was just accepted ends that one alone.
        server.on("error", () => {});
        resolve();
      });
    });
    const bound = server.address();
    return typeof bound === "object" && bound !== null ? bound.port : 0;
  }

  /** Takes no more. Connections that were handed on are the gRPC server's. */
  close(): void {
    this.#unsubscribe();
    for (const server of this.#servers) server.close();
    this.#servers.clear();
  }

  #take(socket: TLSSocket): void {
    socket.on("error", () => {});
    // A handshake that ends after the gate was closed: the gRPC server would take it, though it has shut down.
    if (this.#servers.size === 0) return void socket.destroy();
    const found = problemWith(socket);
    if (found === undefined) {
      this.#injector.injectConnection(socket);
      return;
    }
    this.#onRefused({ ...found, peer: peerOf(socket) });
    socket.destroy();
  }
}

/** Why a client that has shaken hands is not let in. */
function problemWith(socket: TLSSocket): Omit<RefusedConnection, "peer"> | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined)
    return { reason: "no_certificate", problem: "the client has no certificate" };
  const identity = identityOf(certificate.subjectAltName);
  if (!socket.authorized) {
    const code = String(socket.authorizationError);
    return { reason: VERIFY_FAILURES[code] ?? "bad_certificate", problem: code, identity };
  }
  if (socket.alpnProtocol !== "h2")
    return { reason: "handshake", problem: "the client speaks no HTTP/2", identity };
  return undefined;
}

/** What OpenSSL says of certificates. */
const VERIFY_FAILURES: Readonly<Record<string, HandshakeRefusal>> = {
  CERT_HAS_EXPIRED: "expired",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unknown_ca",
  UNABLE_TO_GET_ISSUER_CERT: "unknown_ca",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unknown_ca",
  SELF_SIGNED_CERT_IN_CHAIN: "unknown_ca",
  DEPTH_ZERO_SELF_SIGNED_CERT: "unknown_ca",
  CERT_SIGNATURE_FAILURE: "unknown_ca",
};

/** Of a handshake that came to no end. */
const FAILURES: Readonly<Record<string, HandshakeRefusal>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: "no_tls",
  ERR_SSL_HTTP_REQUEST: "no_tls",
};

const peerOf = ({ remoteAddress, remotePort, remoteFamily }: TLSSocket): string => {
  if (remoteAddress === undefined) return "unknown";
  return remoteFamily === "IPv6" ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
};

/** `…:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:…` → `wrong version number`. */
const problemOf = ({ message }: Error): string => /SSL routines:[^:]*:([^:]+)/.exec(message)?.[1] ?? message;
