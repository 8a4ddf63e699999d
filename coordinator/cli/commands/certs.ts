import { isIP } from "node:net";
import { z } from "zod";
import type { WrittenCertificate } from "../../certs/certificate-folder.ts";
import { defineCommand } from "../command.ts";
import { generalOptions } from "../common-options.ts";
import { InputError } from "../errors.ts";
import { argument, flag, oneOf, option, text, wholeNumber } from "../options.ts";
import { writeFileWhole } from "../output.ts";
import { table } from "../table.ts";

interface Made {
  readonly folder: string;
  readonly certificates: readonly WrittenCertificate[];
  /** A new CA stands in front of the old one in ca.crt. */
  readonly ca: "made" | "kept" | "renewed";
  /** Absent: as before. */
  readonly nats?: "made" | "renewed";
}

const RENEWABLE = ["ca", "coordinator", "worker", "submitter", "admin", "nats-server", "nats"] as const;

const LOCAL = ["localhost", "127.0.0.1", "::1"];

const isHost = (host: string): boolean =>
  isIP(host) !== 0 ||
  (/^(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$/i.test(host) &&
    host.length <= 253);

const hostList = z.preprocess(
  (value) => (typeof value === "string" ? value.split(",").map((host) => host.trim()) : value),
  z
    .array(z.string().refine(isHost, "must be names or IP addresses, separated by commas, without ports"))
    .min(1),
) as unknown as z.ZodType<readonly string[]>;

export const certs = defineCommand({
  name: "certs",
  summary: "make a CA and certificates, so that coordinator, workers and users know each other",
  help: `
Everybody in a cluster shows a certificate, and believes those that come from its CA. What a certificate may do stands in it, as a URI: spiffe://elibad/coordinator answers, spiffe://elibad/worker
computes, spiffe://elibad/submitter sends commands and sweeps and reads results, spiffe://elibad/admin may remove sweeps and make backups, too. The coordinator's also has the names under which it is dialled (--host).

This command makes a CA of its own in DIR: ca.crt, ca.key, and NAME.crt with NAME.key for coordinator, worker, submitter, admin and nats-server. Give each program its own pair and ca.crt, and nobody ca.key:
who has that can be anybody. In DIR/nats is what NATS servers need, and coordinators that have results sent through them: docs/nats.md. It is enough for a lab; a cluster with cert-manager or a CA of its own needs none of it, only certificates with the same URIs.

  elibad certs certs --host coordinator.lab,10.0.0.5
  elibad coordinator --listen 10.0.0.5:7070 --tls-cert certs/coordinator.crt --tls-key certs/coordinator.key --tls-ca certs/ca.crt --state elibad-state
  elibad worker --coordinator coordinator.lab:7070 --tls-cert certs/worker.crt --tls-key certs/worker.key --tls-ca certs/ca.crt
  elibad sweep submit friday.yaml --coordinator coordinator.lab:7070 --tls-cert certs/submitter.crt --tls-key certs/submitter.key --tls-ca certs/ca.crt

Before a certificate expires, renew it and put it in the old one's place: programs that run read it again within seconds, and keep their connections.

  elibad certs certs --renew worker

The CA itself is renewed in three steps, each of which programs take while they run: a new CA beside the old one, then every certificate, then ca.crt without its last certificate.

  elibad certs certs --renew ca                  # ca.crt has both now: bring it to everybody
  elibad certs certs --renew coordinator         # and worker, submitter, admin, nats-server`,
  options: {
    folder: argument("<dir>", "folder of the certificates", text),
    host: option(
      "--host <names>",
      "names and IP addresses at which coordinator and NATS server are dialled, with commas",
      hostList.optional(),
      `${LOCAL.join(",")}; with --renew those of before`,
    ),
    days: option(
      "--days <n>",
      "how long certificates are valid; a new CA is for ten years at least",
      wholeNumber(1, 36_500).default(365),
    ),
    renew: option(
      "--renew <name>",
      "make this one anew, with the CA that is there; ca: a new CA beside the old one; nats: credentials and signing key for NATS, after which older ones are not taken",
      oneOf(...RENEWABLE).optional(),
      "all of it is new",
    ),
    force: option(
      "--force",
      "make everything anew where certificates are there already: nobody believes the old ones any more",
      flag,
    ),
    json: generalOptions.json,
  },
  async run({ folder, host, days, renew, force }): Promise<Made> {
    if (force && renew !== undefined) throw new InputError("--force: has no meaning beside --renew");
    // Loaded here: no other command makes certificates.
    const { makeCertificates, renewAuthority, renewCertificate } = await import(
      "../../certs/certificate-folder.ts"
    );
    const { renewNatsFolder, writeNatsFolder } = await import("../../certs/nats-folder.ts");
    const options = { days, nowMs: Date.now(), write: writeFileWhole };
    if (renew === undefined) {
      const certificates = await makeCertificates(folder, { ...options, hosts: host ?? LOCAL, force });
      await writeNatsFolder(folder, options);
      return { folder, certificates, ca: "made", nats: "made" };
    }
    if (renew === "ca") {
      await renewAuthority(folder, options);
      return { folder, certificates: [], ca: "renewed" };
    }
    if (renew === "nats") {
      await renewNatsFolder(folder, options);
      return { folder, certificates: [], ca: "kept", nats: "renewed" };
    }
    return {
      folder,
      certificates: [await renewCertificate(folder, renew, { ...options, hosts: host })],
      ca: "kept",
    };
  },
  show({ folder, certificates, ca, nats }: Made) {
    if (nats === "renewed")
      return `${folder}/nats has new credentials, and the old ones end: start NATS servers again with accounts.conf; coordinators need coordinator.creds and signing.key.`;
    if (ca === "renewed")
      return `${folder}/ca.crt has the new CA and the old one: bring it to everybody, then renew the certificates.`;
    const rows = certificates.map(({ file, role, hosts, valid_until }) => [
      file,
      role ?? "",
      hosts.join(","),
      valid_until.slice(0, 10),
    ]);
    const lines = table([["certificate", "role", "hosts", "valid until"], ...rows]);
    return ca === "kept"
      ? lines
      : `${lines}\n${folder}/ca.key makes more of them: keep it where no program runs.\n${folder}/nats is for NATS servers and the coordinators that use them (docs/nats.md).`;
  },
});
