import { copyFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type CertificatePaths, Certificates } from "../../../proto/tls/certificates.ts";
import { expired, type TestAuthority, testAuthority } from "../../support/certificates.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** Opened, with what they say; looked at by the test alone. */
function open(paths: CertificatePaths) {
  const said: string[] = [];
  const log = (message: string) => said.push(message);
  const certificates = new Certificates(paths, { log, refreshMs: 3_600_000 });
  onTestFinished(() => certificates.close());
  return { certificates, said };
}

const put = (authority: TestAuthority, to: CertificatePaths, kinds: readonly (keyof CertificatePaths)[]) => {
  for (const kind of kinds) copyFileSync(authority.paths("worker")[kind], to[kind]);
};

/** Files of a worker that a test may change. */
async function files(): Promise<{ authority: TestAuthority; paths: CertificatePaths }> {
  const authority = await testAuthority();
  const at = (name: string) => join(authority.folder, `own-${name}`);
  const paths = { cert: at("crt"), key: at("key"), ca: at("ca") };
  put(authority, paths, ["cert", "key", "ca"]);
  return { authority, paths };
}

test("a new certificate is taken once its key is there, too; until then the one before stays, and that is said once", async () => {
  const { paths } = await files();
  const { certificates, said } = open(paths);
  const before = certificates.current;
  const other = await testAuthority();
  put(other, paths, ["cert"]);
  expect([certificates.refresh(), certificates.refresh()]).toEqual([false, false]);
  expect(certificates.current).toBe(before);
  expect(said).toEqual([expect.stringMatching(/the ones before stay.*--tls-key .* is not the key/)]);
  put(other, paths, ["key", "ca"]);
  expect(certificates.refresh()).toBe(true);
  expect(certificates.current).not.toBe(before);
  expect(certificates.current.options.cert).toEqual(readFileSync(other.paths("worker").cert));
  expect(said.at(-1)).toMatch(/read again; .* is valid until \d{4}-/);
});

test("a Secret that Kubernetes changes, a link above the files exchanged for another, is taken whole", async () => {
  const volume = tempFolder();
  const fill = async (name: string) => {
    const data = join(volume, name);
    mkdirSync(data);
    const authority = await testAuthority();
    for (const kind of ["cert", "key", "ca"] as const)
      copyFileSync(authority.paths("worker")[kind], join(data, kind));
    return authority;
  };
  await fill("..2026_1");
  symlinkSync("..2026_1", join(volume, "..data"));
  for (const kind of ["cert", "key", "ca"]) symlinkSync(join("..data", kind), join(volume, kind));
  const at = (kind: string) => join(volume, kind);
  const { certificates } = open({ cert: at("cert"), key: at("key"), ca: at("ca") });
  const heard: unknown[] = [];
  certificates.subscribe((loaded) => heard.push(loaded));
  const next = await fill("..2026_2");
  symlinkSync("..2026_2", join(volume, "..data_tmp"));
  renameSync(join(volume, "..data_tmp"), join(volume, "..data"));
  expect(certificates.refresh()).toBe(true);
  expect(certificates.current.options.key).toEqual(readFileSync(next.paths("worker").key));
  expect(heard).toEqual([certificates.current]);
});

test.each([
  ["no file", "cert", () => undefined, /--tls-cert .*own-crt: there is no such file/],
  ["no PEM", "cert", () => "hello", /--tls-cert .*own-crt: has no certificate in PEM/],
  ["half a certificate", "cert", (text: string) => text.slice(0, 300), /--tls-cert .*own-crt/],
  [
    "a certificate and a half",
    "ca",
    (text: string) => text + text.slice(0, 300),
    /--tls-ca .*own-ca: ends within/,
  ],
  [
    "a key that is none",
    "key",
    (text: string) => text.slice(0, 100),
    /--tls-key .*own-key: has no private key/,
  ],
] as const)(
  "files with %s are refused at the start, and not taken later",
  async (_, kind, spoil, problem) => {
    const { paths } = await files();
    const { certificates, said } = open(paths);
    const before = certificates.current;
    const text = spoil(readFileSync(paths[kind], "utf8"));
    if (text === undefined) renameSync(paths[kind], `${paths[kind]}.gone`);
    else writeFileSync(paths[kind], text);
    expect(certificates.refresh()).toBe(false);
    expect(certificates.current).toBe(before);
    expect(said.join("\n")).toMatch(problem);
    expect(() => open(paths)).toThrow(problem);
  },
);

test("certificates that are expired, not valid yet, or no CA's where a CA's are expected, are named with the reason", async () => {
  const { authority, paths } = await files();
  const old = await authority.issued("old", { role: "worker" }, expired());
  expect(() => open(old)).toThrow(/--tls-cert .*old\.crt: expired on \d{4}-/);
  const hour = 3_600_000;
  const early = await authority.issued(
    "early",
    { role: "worker" },
    { fromMs: Date.now() + hour, untilMs: Date.now() + 2 * hour },
  );
  expect(() => open(early)).toThrow(/early\.crt: is valid from .* on, and this machine's clock is before/);
  expect(() => open({ ...paths, ca: paths.cert })).toThrow(/--tls-ca .*own-crt: .*no CA's: CN=elibad worker/);
});
