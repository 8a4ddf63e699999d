import { readFileSync } from "node:fs";
import { join } from "node:path";
import { elibadHere } from "../command-line.ts";
import { type ApiObject, Objects } from "./objects.ts";
import type { Certificate, GivenSecrets } from "./references.ts";
import { certificatesIn, deployFolder } from "./render.ts";

/** What deploy/README.md has users make by hand where cert-manager makes the certificates: secret, and its keys as files of `elibad certs`. */
export const GIVEN_SECRETS: GivenSecrets = {
  "nats-auth": ["accounts.conf", "signing.key", "coordinator.creds"],
};

/** Runs the command of deploy/README.md that makes certificates, with another folder. @returns that folder */
export async function makeCertificates(deploy: string): Promise<string> {
  const folder = certificatesIn(deploy);
  const readme = readFileSync(join(deployFolder, "README.md"), "utf8");
  const line = /elibad (certs deploy\/components\/dev-certificates\/certs .*)$/m.exec(readme)?.[1];
  if (line === undefined) throw new Error("deploy/README.md has no `elibad certs` in it");
  const words = line
    .split(/\s+/)
    .map((word) => word.replace("deploy/components/dev-certificates/certs", folder).replaceAll("'", ""));
  const { code, stderr } = await elibadHere(...words);
  if (code !== 0) throw new Error(`${line}: ${stderr}`);
  return folder;
}

/** The same objects with the secrets that cert-manager would make of its Certificates, and those that users make, from a folder of `elibad certs`. */
export function withSecrets(objects: Objects, certificates: string): Objects {
  const file = (...path: string[]) => readFileSync(join(certificates, ...path)).toString("base64");
  const namespace = objects.ofKind("Namespace")[0]!.metadata.name;
  const secret = (name: string, data: Readonly<Record<string, string>>): ApiObject => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace },
    data,
  });
  const issued = objects
    .ofKind<Certificate>("Certificate")
    .filter(({ spec }) => !spec.isCA)
    .map(({ metadata, spec }) => {
      const name = metadata.name === "nats" ? "nats-server" : metadata.name;
      return secret(spec.secretName, {
        "ca.crt": file("ca.crt"),
        "tls.crt": file(`${name}.crt`),
        "tls.key": file(`${name}.key`),
      });
    });
  const given = Object.entries(GIVEN_SECRETS)
    .filter(([name]) => objects.find("Secret", name) === undefined)
    .map(([name, keys]) => secret(name, Object.fromEntries(keys.map((key) => [key, file("nats", key)]))));
  return new Objects([...objects.all, ...issued, ...given]);
}
