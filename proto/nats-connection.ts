import { checkServerIdentity, type PeerCertificate } from "node:tls";
import {
  type Authenticator,
  type ConnectionOptions,
  ErrorCode,
  Events,
  jwtAuthenticator,
  NatsError,
  type Status,
} from "nats";

/** Files of PEM. Each is read again whenever a connection is made. */
export interface NatsTls {
  /** Absent: the system's CAs. */
  readonly caFile?: string | undefined;
  /** Shown to servers that ask for one. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** What a user of NATS proves itself with: a token that an account has signed, and the key that the token is for. */
export interface NatsCredential {
  readonly jwt: string;
  readonly seed: string;
}

/** Servers and how they are talked to. */
export interface NatsServers {
  /** One or several, separated by commas: `tls://host:port`, or `nats://host:port` for plain text. */
  readonly url: string;
  /** For `tls://`. */
  readonly tls?: NatsTls | undefined;
  /** Asked at every connection; it must not throw. Absent: the servers ask nobody who they are. */
  readonly credential?: (() => NatsCredential) | undefined;
}

/**
 * Settings of every connection: it reconnects for ever, also to a server that refuses it, since credentials are renewed, and sees a silent partition within 2 × 5 s.
 *
 * @param inbox what answers begin with, so that a server can permit each user its own ones only
 */
export function natsConnectionOptions(
  { url, tls, credential }: NatsServers,
  { name, inbox }: { readonly name: string; readonly inbox: string },
): ConnectionOptions {
  const servers = url.split(",");
  return {
    servers,
    name,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 500,
    reconnectJitter: 500,
    reconnectJitterTLS: 500,
    pingInterval: 5_000,
    maxPingOut: 2,
    timeout: 5_000,
    inboxPrefix: inbox,
    ...(tls === undefined && !isEncrypted(url) ? {} : { tls: tlsOptions(servers.map(hostOf), tls) }),
    ...(credential === undefined ? {} : { authenticator: authenticator(credential) }),
  };
}

/** Whether the servers are talked to in TLS. */
export const isEncrypted = (url: string): boolean => url.startsWith("tls://");

/** The host of a server, without scheme, names, port and the brackets of an IPv6 address. */
export const hostOf = (server: string): string =>
  new URL(server.trim().replace(/^(\w+:\/\/)?/, "http://")).hostname.replace(/^\[|\]$/g, "");

/** Why a server refuses; few, since they label metrics. */
export const NATS_REFUSALS = ["permission", "credential", "expired"] as const;

export interface NatsRefusal {
  readonly reason: (typeof NATS_REFUSALS)[number];
  readonly problem: string;
}

/** What a server refused, in words; undefined where an event of a connection is another one. */
export function refusalIn({ type, data, permissionContext }: Status): NatsRefusal | undefined {
  if (type !== Events.Error) return undefined;
  if (data !== ErrorCode.PermissionsViolation) return REFUSALS[String(data)];
  const what = permissionContext ? ` ${permissionContext.operation} on ${permissionContext.subject}` : "";
  return { reason: "permission", problem: `NATS does not permit it:${what}` };
}

/** Why there is no connection, where a server refused one. */
export const refusalOf = (error: unknown): NatsRefusal | undefined =>
  error instanceof NatsError ? REFUSALS[error.code] : undefined;

const EXPIRED = { reason: "expired", problem: "the credential for NATS has expired" } as const;

const REFUSALS: Readonly<Record<string, NatsRefusal>> = {
  [ErrorCode.AuthorizationViolation]: {
    reason: "credential",
    problem: "NATS does not take the credential",
  },
  [ErrorCode.AuthenticationExpired]: EXPIRED,
  [ErrorCode.AccountExpired]: EXPIRED,
};

function tlsOptions(hosts: readonly string[], tls: NatsTls = {}): NonNullable<ConnectionOptions["tls"]> {
  const { caFile, certFile, keyFile } = tls;
  return {
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined || keyFile === undefined ? {} : { certFile, keyFile }),
    minVersion: "TLSv1.2",
    // The client has no host to check where a server is named by its address, or was named by another one.
    checkServerIdentity: (_: string, certificate: PeerCertificate) => problemOf(hosts, certificate),
  } as NonNullable<ConnectionOptions["tls"]>;
}

/** Why a certificate is for none of these hosts. */
function problemOf(hosts: readonly string[], certificate: PeerCertificate): Error | undefined {
  const problems = hosts.map((host) => checkServerIdentity(host, certificate));
  return problems.includes(undefined) ? undefined : problems[0];
}

const authenticator =
  (credential: () => NatsCredential): Authenticator =>
  (nonce) => {
    const { jwt, seed } = credential();
    return jwtAuthenticator(jwt, Buffer.from(seed))(nonce);
  };
