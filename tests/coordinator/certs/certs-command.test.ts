import { X509Certificate } from "node:crypto";
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EXIT } from "../../../coordinator/cli/errors.ts";
import { Certificates } from "../../../proto/tls/certificates.ts";
import { elibadHere } from "../../support/command-line.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const NAMES = ["coordinator", "worker", "submitter", "admin", "nats-server"];

const certificateIn = (folder: string, name: string) =>
  new X509Certificate(readFileSync(join(folder, `${name}.crt`)));

/** Names and modes. */
const filesOf = (folder: string): Record<string, number> =>
  Object.fromEntries(
    readdirSync(folder).map((name) => [name, statSync(join(folder, name)).mode & 0o777] as const),
  );

/** What programs make of a pair and the CA. */
function open(folder: string, name: string) {
  const at = (file: string) => join(folder, file);
  const certificates = new Certificates({
    cert: at(`${name}.crt`),
    key: at(`${name}.key`),
    ca: at("ca.crt"),
  });
  certificates.close();
  return certificates.current;
}

test("elibad certs makes a CA and certificates whose keys belong to them, with a role each, names for who is dialled, and keys that nobody else reads", async () => {
  const folder = join(tempFolder(), "new", "certs");
  const run = await elibadHere("certs", folder, "--host", "coordinator.lab,10.0.0.5", "--days", "30");
  expect([run.code, run.stderr]).toEqual([EXIT.done, ""]);
  expect(readdirSync(folder).sort()).toEqual(
    [...["ca", ...NAMES].flatMap((name) => [`${name}.crt`, `${name}.key`]), "nats"].sort(),
  );
  expect(filesOf(join(folder, "nats"))).toEqual({
    "accounts.conf": 0o644,
    "admin.creds": 0o600,
    "coordinator.creds": 0o600,
    "coordinators.jwt": 0o644,
    "coordinators.seed": 0o600,
    "nats-server.conf": 0o644,
    "operator.jwt": 0o644,
    "operator.seed": 0o600,
    "signing.key": 0o600,
    "workers.jwt": 0o644,
  });
  const authority = certificateIn(folder, "ca");
  for (const name of NAMES) {
    const { identity } = open(folder, name);
    expect(identity).toEqual(name === "nats-server" ? { problem: expect.any(String) } : { role: name });
    const certificate = certificateIn(folder, name);
    expect(certificate.verify(authority.publicKey)).toBe(true);
    const isDialled = name === "coordinator" || name === "nats-server";
    expect([certificate.checkHost("coordinator.lab"), certificate.checkIP("10.0.0.5")]).toEqual(
      isDialled ? ["coordinator.lab", "10.0.0.5"] : [undefined, undefined],
    );
    const days = (Date.parse(certificate.validTo) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(29.9);
    expect(days).toBeLessThanOrEqual(30);
  }
  for (const name of ["ca", ...NAMES]) expect(statSync(join(folder, `${name}.key`)).mode & 0o777).toBe(0o600);
  for (const line of [/coordinator\.crt\s+coordinator\s+coordinator\.lab,10\.0\.0\.5/, /ca\.key makes more/])
    expect(run.stdout).toMatch(line);
});

test("what is there is not overwritten without --force; --renew makes one anew, with its hosts and the same CA", async () => {
  const folder = tempFolder();
  await elibadHere("certs", folder, "--host", "a.lab");
  const before = readFileSync(join(folder, "worker.crt"), "utf8");
  const again = await elibadHere("certs", folder);
  expect(again.code).toBe(EXIT.wrongInput);
  expect(again.stderr).toContain(`${join(folder, "ca.crt")} is there already: --renew`);
  expect(readFileSync(join(folder, "worker.crt"), "utf8")).toBe(before);

  const authority = readFileSync(join(folder, "ca.crt"), "utf8");
  expect((await elibadHere("certs", folder, "--renew", "coordinator")).code).toBe(EXIT.done);
  expect(readFileSync(join(folder, "worker.crt"), "utf8")).toBe(before);
  expect(readFileSync(join(folder, "ca.crt"), "utf8")).toBe(authority);
  const renewed = certificateIn(folder, "coordinator");
  expect(renewed.checkHost("a.lab")).toBe("a.lab");
  expect(renewed.verify(certificateIn(folder, "ca").publicKey)).toBe(true);
  open(folder, "coordinator");

  expect((await elibadHere("certs", folder, "--force")).code).toBe(EXIT.done);
  expect(readFileSync(join(folder, "ca.crt"), "utf8")).not.toBe(authority);
});

test("a new CA stands beside the old one, signs from then on, and is believed with it", async () => {
  const folder = tempFolder();
  await elibadHere("certs", folder);
  const old = certificateIn(folder, "ca");
  expect((await elibadHere("certs", folder, "--renew", "ca")).stdout).toContain("the new CA and the old one");
  expect(readFileSync(join(folder, "ca.crt"), "utf8").split("BEGIN CERTIFICATE")).toHaveLength(3);
  await elibadHere("certs", folder, "--renew", "worker");
  const young = certificateIn(folder, "ca");
  expect(certificateIn(folder, "worker").verify(young.publicKey)).toBe(true);
  expect(certificateIn(folder, "submitter").verify(old.publicKey)).toBe(true);
  for (const name of ["worker", "submitter"]) open(folder, name);
});

test("a key that is not the CA's, as after a renewal that broke off, signs nothing; a new CA mends it", async () => {
  const folder = tempFolder();
  await elibadHere("certs", folder);
  const before = readFileSync(join(folder, "worker.crt"), "utf8");
  copyFileSync(join(folder, "submitter.key"), join(folder, "ca.key"));
  const run = await elibadHere("certs", folder, "--renew", "worker");
  expect(run.code).toBe(EXIT.wrongInput);
  expect(run.stderr).toContain(`${join(folder, "ca.key")} is not the key of the first certificate in ca.crt`);
  expect(readFileSync(join(folder, "worker.crt"), "utf8")).toBe(before);
  const old = certificateIn(folder, "ca");
  expect((await elibadHere("certs", folder, "--renew", "ca")).code).toBe(EXIT.done);
  expect((await elibadHere("certs", folder, "--renew", "worker")).code).toBe(EXIT.done);
  expect(certificateIn(folder, "worker").verify(certificateIn(folder, "ca").publicKey)).toBe(true);
  expect(certificateIn(folder, "submitter").verify(old.publicKey)).toBe(true);
});

test("no certificate outlives its CA, and the command says when it really ends", async () => {
  const folder = tempFolder();
  await elibadHere("certs", folder);
  const run = await elibadHere("certs", folder, "--renew", "worker", "--days", "36500", "--json");
  const [{ valid_until }] = JSON.parse(run.stdout).certificates;
  const ends = Date.parse(certificateIn(folder, "worker").validTo);
  expect(ends).toBe(Date.parse(certificateIn(folder, "ca").validTo));
  expect(Date.parse(valid_until)).toBe(ends);
});

test.each([
  ["hosts with a port", ["--host", "a.lab:7070"], "--host"],
  ["hosts that are none", ["--host", "a..b"], "--host"],
  ["no days", ["--days", "0"], "--days"],
  ["somebody who has no certificate", ["--renew", "root"], "--renew"],
  ["everything anew and one", ["--renew", "worker", "--force"], "--force"],
  ["a certificate of a CA that is not there", ["--renew", "worker"], "ca.crt is not there"],
])("%s is refused with exit code 2, and nothing is written", async (_, words, says) => {
  const folder = join(tempFolder(), "certs");
  const run = await elibadHere("certs", folder, ...words);
  expect(run.code).toBe(EXIT.wrongInput);
  expect(run.stderr).toContain(says);
  expect(existsSync(folder)).toBe(false);
});

test("a certificate of hosts that are not known any more needs them named", async () => {
  const folder = tempFolder();
  await elibadHere("certs", folder);
  rmSync(join(folder, "coordinator.crt"));
  expect((await elibadHere("certs", folder, "--renew", "coordinator")).stderr).toContain("--host");
  expect((await elibadHere("certs", folder, "--renew", "coordinator", "--host", "b.lab")).code).toBe(
    EXIT.done,
  );
  expect(certificateIn(folder, "coordinator").checkHost("b.lab")).toBe("b.lab");
});
