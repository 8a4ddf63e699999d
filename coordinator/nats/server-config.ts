/** Where a NATS server for elibad listens, and where its files are. Relative paths are those of the process's working folder. */
export interface NatsServerSettings {
  /** `host:port` for coordinators and workers. */
  readonly listen: string;
  /** `host:port` of its health and state, in plain HTTP. */
  readonly monitor: string;
  readonly storeDir: string;
  /** Name of the file of `NatsAccounts.accountsConf`, as this one's folder has it. */
  readonly accounts: string;
  /** Files of PEM. */
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string };
}

/** For all streams: a log reserves 1 GiB, the results 256 MiB. */
const STORE_BYTES = 2 * 1024 ** 3;

/**
 * A server's configuration: TLS with certificates of both sides, users by tokens of the accounts, streams in files. For nats-server 2.9 and later. An accounts file
 * is included, and not part of it, since it is made once for all servers.
 */
export function natsServerConfig(settings: NatsServerSettings): string {
  const { listen, monitor, storeDir, accounts, tls } = settings;
  return `# A NATS server for elibad: docs/nats.md.
listen: ${quoted(listen)}
http: ${quoted(monitor)}

jetstream {
  store_dir: ${quoted(storeDir)}
  max_file_store: ${STORE_BYTES}
}

# Who does not show a certificate of the CA is not asked for more.
tls {
  cert_file: ${quoted(tls.cert)}
  key_file: ${quoted(tls.key)}
  ca_file: ${quoted(tls.ca)}
  verify: true
  timeout: 5
}

# The operator, the accounts of coordinators and workers: who they are, and what they may.
include ${quoted(accounts)}
`;
}

const quoted = (text: string): string => JSON.stringify(text);
