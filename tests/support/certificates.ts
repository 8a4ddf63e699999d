import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type CertificateName,
  makeCertificates,
  renewAuthority,
  renewCertificate,
} from "../../coordinator/certs/certificate-folder.ts";
import { issue, type Purpose, type Validity, validFor } from "../../coordinator/certs/issue.ts";
import type { CertificatePaths } from "../../proto/tls/certificates.ts";
import { tempFolder } from "./temp-folder.ts";

/** A CA of its own, with certificates for everybody, in a folder that goes with the test. */
export interface TestAuthority {
  readonly folder: string;
  /** The files of one of its certificates. */
  paths(name: CertificateName): CertificatePaths;
  /** The same as words of a command line. */
  words(name: CertificateName): string[];
  /** Makes one more certificate, under a name of its own. */
  issued(name: string, purpose: Partial<Purpose>, validity?: Validity): Promise<CertificatePaths>;
  /** A new certificate in the old one's place; `ca`: a new CA beside the old one. */
  renew(name: CertificateName | "ca"): Promise<void>;
  /** Takes the old CA out of the file. */
  forgetOldAuthority(): void;
}

const write = (file: string, content: string, mode: number) => writeFileSync(file, content, { mode });

const OPTIONS = { days: 2, write };

export async function testAuthority(folder = tempFolder()): Promise<TestAuthority> {
  const hosts = ["localhost", "127.0.0.1"];
  await makeCertificates(folder, { ...OPTIONS, nowMs: Date.now(), hosts, force: false });
  return authorityIn(folder);
}

/** The one whose certificates are in a folder already. */
export function authorityIn(folder: string): TestAuthority {
  const pathsOf = (name: string): CertificatePaths => ({
    cert: join(folder, `${name}.crt`),
    key: join(folder, `${name}.key`),
    ca: join(folder, "ca.crt"),
  });
  return {
    folder,
    paths: pathsOf,
    words(name) {
      const { cert, key, ca } = pathsOf(name);
      return ["--tls-cert", cert, "--tls-key", key, "--tls-ca", ca];
    },
    async issued(name, purpose, validity = validFor(1, Date.now())) {
      const read = (file: string) => readFileSync(join(folder, file), "utf8");
      const authority = { certificate: read("ca.crt"), key: read("ca.key") };
      const { certificate, key } = await issue(
        authority,
        { commonName: name, hosts: [], usages: ["client"], ...purpose },
        validity,
      );
      const paths = pathsOf(name);
      write(paths.cert, certificate, 0o644);
      write(paths.key, key, 0o600);
      return paths;
    },
    async renew(name) {
      if (name === "ca") await renewAuthority(folder, { ...OPTIONS, nowMs: Date.now() });
      else await renewCertificate(folder, name, { ...OPTIONS, nowMs: Date.now(), hosts: undefined });
    },
    forgetOldAuthority() {
      const file = join(folder, "ca.crt");
      const [first] = readFileSync(file, "utf8").split(/(?<=-----END CERTIFICATE-----\n)/);
      write(file, first!, 0o644);
    },
  };
}

/** A certificate that was good until a minute ago. */
export const expired = (): Validity => ({ fromMs: Date.now() - 3_600_000, untilMs: Date.now() - 60_000 });
