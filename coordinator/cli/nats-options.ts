import { hostOf, isEncrypted, type NatsServers } from "../../proto/nats-connection.ts";
import { isLocal } from "../../proto/tls/loopback.ts";
import type { CoordinatorNats } from "../coordinator.ts";
import { parseCredentials } from "../nats/credentials.ts";
import { parseSigningKey } from "../nats/signing-key.ts";
import { InputError } from "./errors.ts";
import { requireReadableFile } from "./named-paths.ts";
import { option, optionalPath, type Parsed, text } from "./options.ts";
import { rereadFile } from "./reread-file.ts";

/** Whom a program believes to be the NATS server that it is sent to. */
export const natsCaOption = optionalPath(
  "--nats-ca <file>",
  "CAs (PEM) that the certificates of NATS servers come from, for tls://",
  "the file of --tls-ca, else the system's",
);

/** How a coordinator reaches its NATS servers. */
export const natsOptions = {
  nats: option(
    "--nats <url>",
    "NATS JetStream server, or several with commas: results come through it, and it keeps the sweeps' log; tls://host:port, or nats://host:port on this machine",
    text.optional(),
    "results over the workers' own streams",
  ),
  natsCa: natsCaOption,
  natsCreds: optionalPath(
    "--nats-creds <file>",
    "credentials with which the coordinator connects to --nats (elibad certs makes them); read again when it reconnects",
    "none: the servers ask nobody",
  ),
};

/** What it needs beside that to have results sent through them. */
export const natsSigningOptions = {
  natsSigningKey: optionalPath(
    "--nats-signing-key <file>",
    "key with which the coordinator signs the credentials of workers, each for its own results and for an hour (elibad certs makes it)",
    "none: workers connect without credentials",
  ),
};

/** What a program shows servers, and whom it believes, where it has TLS. */
export interface CertificateFiles {
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly tlsCa?: string | undefined;
}

type NatsChoices = Parsed<typeof natsOptions> & CertificateFiles;

/**
 * The servers of `--nats`; undefined where there are none.
 *
 * @param log hears of files that cannot be used any more
 * @throws InputError naming option, file and what is wrong
 */
export function natsServers(
  { nats: url, natsCa, natsCreds, ...tls }: NatsChoices,
  log: (message: string) => void = () => {},
): NatsServers | undefined {
  if (url === undefined) {
    for (const [flag, file] of [
      ["--nats-ca", natsCa],
      ["--nats-creds", natsCreds],
    ] as const)
      if (file !== undefined)
        throw new InputError(`${flag} ${file}: name the servers that it is for, too: --nats tls://HOST:PORT`);
    return undefined;
  }
  requireNatsUrl(url);
  if (!isEncrypted(url) && natsCa !== undefined)
    throw new InputError(
      `--nats-ca ${natsCa}: the servers of --nats ${url} are talked to in plain text; name them tls://host:port`,
    );
  if (natsCa !== undefined) requireReadableFile("--nats-ca", natsCa);
  const { tlsCert: certFile, tlsKey: keyFile, tlsCa } = tls;
  return {
    url,
    ...(isEncrypted(url) ? { tls: { caFile: natsCa ?? tlsCa, certFile, keyFile } } : {}),
    ...(natsCreds === undefined
      ? {}
      : { credential: rereadFile("--nats-creds", natsCreds, parseCredentials, log) }),
  };
}

/** The servers of `--nats`, and the key for those who send results through them. @throws InputError */
export function natsWithSigning(
  { natsSigningKey: file, ...options }: NatsChoices & Parsed<typeof natsSigningOptions>,
  log: (message: string) => void = () => {},
): CoordinatorNats | undefined {
  const servers = natsServers(options, log);
  if (file === undefined) {
    if (servers?.credential === undefined) return servers;
    throw new InputError(
      `--nats-creds ${options.natsCreds}: workers need credentials, too; name the key that theirs are signed with: --nats-signing-key FILE`,
    );
  }
  if (servers?.credential === undefined)
    throw new InputError(
      `--nats-signing-key ${file}: name the coordinator's own credentials, too: --nats-creds FILE`,
    );
  return { ...servers, signingKey: rereadFile("--nats-signing-key", file, parseSigningKey, log) };
}

/** The servers, as they were given. @throws InputError naming a server that cannot be dialled, or would be in plain text over a network */
export function requireNatsUrl(urls: string): string {
  for (const url of urls.split(",")) {
    const whole = url.includes("://") ? url : `nats://${url}`;
    const { protocol, hostname, username } = URL.canParse(whole)
      ? new URL(whole)
      : { protocol: "", hostname: "", username: "" };
    if (!["nats:", "tls:"].includes(protocol) || hostname === "")
      throw new InputError(`--nats ${url}: must be nats://host:port or tls://host:port`);
    if (username !== "")
      throw new InputError("--nats: has a name in it; credentials are a file: --nats-creds FILE");
    if (isEncrypted(whole) !== isEncrypted(urls))
      throw new InputError(`--nats ${urls}: all servers must be tls://, or none`);
    if (protocol === "nats:" && !isLocal(`${hostname}:1`))
      throw new InputError(
        `--nats ${url}: another machine's server is talked to in TLS only; name it tls://${hostOf(url)}:PORT, with --nats-ca FILE`,
      );
  }
  return urls;
}
