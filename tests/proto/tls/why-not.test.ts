import { createServer } from "node:net";
import { join } from "node:path";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import type { Protection } from "../../../proto/client.ts";
import { type CertificatePaths, Certificates } from "../../../proto/tls/certificates.ts";
import { whyNot } from "../../../proto/tls/why-not.ts";
import { type TestAuthority, testAuthority } from "../../support/certificates.ts";
import { tempFolder } from "../../support/temp-folder.ts";

let authority: TestAuthority;
let stranger: TestAuthority;
beforeAll(async () => {
  authority = await testAuthority(tempFolder(() => {}));
  stranger = await testAuthority(tempFolder(() => {}));
});

function opened(paths: CertificatePaths): Certificates {
  const certificates = new Certificates(paths, { refreshMs: 3_600_000 });
  onTestFinished(() => certificates.close());
  return certificates;
}

/** A coordinator's address. */
async function serve(protection: Protection): Promise<string> {
  const artifactFolder = join(tempFolder(), "artifacts");
  const coordinator = await startCoordinator({ protection, artifactFolder, drainMs: 0 });
  onTestFinished(() => coordinator.close());
  return coordinator.address;
}

const worker = () => opened(authority.paths("worker"));

test("whoever is let in is told nothing, and neither is who dials where nobody listens", async () => {
  expect(await whyNot(await serve(opened(authority.paths("coordinator"))), worker())).toBeUndefined();
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { readonly port: number };
  await new Promise((resolve) => server.close(resolve));
  expect(await whyNot(`127.0.0.1:${port}`, worker())).toBeUndefined();
  expect(await whyNot(`127.0.0.1:${port}`, "plain")).toBeUndefined();
});

test("a coordinator of another CA, of another host, or that is none, is told from one that does not take our certificate", async () => {
  const foreign = await serve(opened(stranger.paths("coordinator")));
  expect(await whyNot(foreign, worker())).toBe(
    `the certificate of ${foreign} is from no CA in --tls-ca ${authority.paths("worker").ca}`,
  );
  const named = await authority.issued("named", {
    role: "coordinator",
    hosts: ["example.org"],
    usages: ["server"],
  });
  const misnamed = await serve(opened(named));
  expect(await whyNot(misnamed, worker())).toBe(`the certificate of ${misnamed} is not for 127.0.0.1`);
  const impostor = await authority.issued("impostor", {
    role: "worker",
    hosts: ["127.0.0.1"],
    usages: ["server"],
  });
  const none = await serve(opened(impostor));
  expect(await whyNot(none, worker())).toBe(
    `the certificate of ${none} is for the role worker, not a coordinator's`,
  );
  const ours = await serve(opened(authority.paths("coordinator")));
  const mixed = { ...stranger.paths("worker"), ca: authority.paths("worker").ca };
  expect(await whyNot(ours, opened(mixed))).toBe(
    `${ours} does not take the certificate ${mixed.cert}: its log says why`,
  );
});

test("plain text that meets TLS is told as that, on either side", async () => {
  const plain = await serve("plain");
  expect(await whyNot(plain, worker())).toBe(
    `${plain} speaks no TLS: it runs with --insecure, or is no coordinator`,
  );
  const secured = await serve(opened(authority.paths("coordinator")));
  expect(await whyNot(secured, "plain")).toMatch(/answers, and not in plain text: .* --tls-cert/);
});
