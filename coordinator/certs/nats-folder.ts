import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { makeNatsAccounts, type NatsAccounts } from "../nats/accounts.ts";
import { natsServerConfig } from "../nats/server-config.ts";
import { CertificateFolderError, type FolderOptions } from "./certificate-folder.ts";

/** The folder among the certificates in which all is that NATS needs. */
export const NATS_FOLDER = "nats";

/** For everybody's eyes, or for their holder's alone. */
const OPEN = 0o644;
const SECRET = 0o600;

/** Writes accounts for NATS beside certificates, and the configuration of a server of this machine that knows both. */
export async function writeNatsFolder(
  certificates: string,
  options: Pick<FolderOptions, "write">,
): Promise<void> {
  mkdirSync(join(certificates, NATS_FOLDER), { recursive: true, mode: 0o700 });
  writeAccounts(certificates, await makeNatsAccounts(), options);
}

/**
 * Makes credentials and signing key anew. Those before are not taken any more, by servers and coordinators that were started again with what is new; streams stay.
 *
 * @throws CertificateFolderError where there are no accounts
 */
export async function renewNatsFolder(
  certificates: string,
  options: Pick<FolderOptions, "write">,
): Promise<void> {
  const read = (name: string): string => {
    const file = join(certificates, NATS_FOLDER, name);
    if (!existsSync(file))
      throw new CertificateFolderError(
        `${file} is not there: elibad certs ${certificates} makes it, and everything else`,
      );
    return readFileSync(file, "utf8");
  };
  const kept = { operatorSeed: read("operator.seed"), coordinatorsSeed: read("coordinators.seed") };
  writeAccounts(certificates, await makeNatsAccounts(kept), options);
}

function writeAccounts(
  certificates: string,
  accounts: NatsAccounts,
  { write }: Pick<FolderOptions, "write">,
): void {
  const at = (name: string) => resolve(certificates, name);
  const files = [
    ["operator.seed", `${accounts.operatorSeed}\n`, SECRET],
    ["coordinators.seed", `${accounts.coordinatorsSeed}\n`, SECRET],
    ["operator.jwt", `${accounts.operatorJwt}\n`, OPEN],
    ["coordinators.jwt", `${accounts.coordinatorsJwt}\n`, OPEN],
    ["workers.jwt", `${accounts.workersJwt}\n`, OPEN],
    ["accounts.conf", accounts.accountsConf, OPEN],
    ["coordinator.creds", accounts.coordinatorCreds, SECRET],
    ["admin.creds", accounts.adminCreds, SECRET],
    ["signing.key", accounts.signingKey, SECRET],
    [
      "nats-server.conf",
      natsServerConfig({
        listen: "0.0.0.0:4222",
        monitor: "127.0.0.1:8222",
        storeDir: at(join(NATS_FOLDER, "store")),
        accounts: "accounts.conf",
        tls: { cert: at("nats-server.crt"), key: at("nats-server.key"), ca: at("ca.crt") },
      }),
      OPEN,
    ],
  ] as const;
  for (const [name, content, mode] of files) write(at(join(NATS_FOLDER, name)), content, mode);
}
