/** Where a NATS server for elibad listens, and where its files are. Relative paths are those of the process's working folder. */
export interface NatsServerSettings {
  /** `host:port` for coordinators and workers. */
  readonly listen: string;
  /** `host:port` of its health and state, in plain HTTP. */
  readonly monitor: string;
  readonly storeDir: string;
  /** Bytes that all streams may take; a log reserves 1 GiB and the results 256 MiB. */
  readonly maxFileStore?: number;
  /** Name of the file of `NatsAccounts.accountsConf`, as this one's folder has it. */
  readonly accounts: string;
  /** Files of PEM. */
  readonly tls: NatsServerTls;
  /** Servers that replicate streams among each other; their names are given on the command line (`--name`). */
  readonly cluster?: {
    readonly listen: string;
    /** `host:port` of each of them, itself too. */
    readonly routes: readonly string[];
  };
}

export interface NatsServerTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

const GB = 1024 ** 3;

/**
 * A server's configuration: TLS with certificates of both sides, users by tokens of the accounts, streams in files. For nats-server 2.9 and later. An accounts file
 * is included, and not part of it, since it is made once for all servers.
 */
export function natsServerConfig(settings: NatsServerSettings): string {
  const { listen, monitor, storeDir, maxFileStore = 2 * GB, accounts, tls, cluster } = settings;
  return `# A NATS server for elibad: docs/nats.md.
listen: ${quoted(listen)}
http: ${quoted(monitor)}

jetstream {
  store_dir: ${quoted(storeDir)}
  max_file_store: ${maxFileStore}
}

# Who does not show a certificate of the CA is not asked for more.
${tlsBlock(tls, "")}

# The operator, the accounts of coordinators and workers: who they are, and what they may.
include ${quoted(accounts)}
${cluster === undefined ? "" : clusterBlock(cluster, tls)}`;
}

function clusterBlock(
  { listen, routes }: NonNullable<NatsServerSettings["cluster"]>,
  tls: NatsServerTls,
): string {
  return `
cluster {
  name: elibad
  listen: ${quoted(listen)}
  # Clients keep to the addresses that they were given, which the certificates are for.
  no_advertise: true
  routes: [
${routes.map((route) => `    ${quoted(`nats-route://${route}`)}`).join("\n")}
  ]
${tlsBlock(tls, "  ")}
}
`;
}

const tlsBlock = ({ cert, key, ca }: NatsServerTls, indent: string): string =>
  [
    "tls {",
    `  cert_file: ${quoted(cert)}`,
    `  key_file: ${quoted(key)}`,
    `  ca_file: ${quoted(ca)}`,
    "  verify: true",
    "  timeout: 5",
    "}",
  ]
    .map((line) => `${indent}${line}`)
    .join("\n");

const quoted = (text: string): string => JSON.stringify(text);
