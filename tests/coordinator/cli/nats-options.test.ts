import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createUser, encodeUser, fmtCreds } from "@nats-io/jwt";
import { beforeAll, describe, expect, test } from "vitest";
import { natsServers, natsWithSigning } from "../../../coordinator/cli/nats-options.ts";
import { makeNatsAccounts, type NatsAccounts } from "../../../coordinator/nats/accounts.ts";
import { tempFolder } from "../../support/temp-folder.ts";

let accounts: NatsAccounts;
beforeAll(async () => {
  accounts = await makeNatsAccounts();
});

const none = { nats: undefined, natsCa: undefined, natsCreds: undefined, natsSigningKey: undefined };

/** Files of credentials and of a key, with these texts or good ones. */
function files({ creds = accounts.coordinatorCreds, key = accounts.signingKey } = {}) {
  const folder = tempFolder();
  const [natsCreds, natsSigningKey] = [join(folder, "my.creds"), join(folder, "my.key")];
  writeFileSync(natsCreds, creds);
  writeFileSync(natsSigningKey, key);
  return { ...none, nats: "tls://nats.lab:4222", natsCreds, natsSigningKey };
}

describe("servers", () => {
  test.each([
    ["http://nats:4222", "--nats http://nats:4222: must be nats://host:port or tls://host:port"],
    [
      "nats://nats.lab:4222",
      "another machine's server is talked to in TLS only; name it tls://nats.lab:PORT",
    ],
    ["10.0.0.5:4222", "--nats 10.0.0.5:4222: another machine's server is talked to in TLS only"],
    ["tls://a:4222,nats://127.0.0.1:4222", "all servers must be tls://, or none"],
    [
      "nats://me:secret@127.0.0.1:4222",
      "--nats: has a name in it; credentials are a file: --nats-creds FILE",
    ],
  ])("%s are refused", (nats, problem) => {
    expect(() => natsServers({ ...none, nats })).toThrow(problem);
    expect(() => natsServers({ ...none, nats })).not.toThrow("secret");
  });

  test("of this machine may be plain text, others show certificates of the CA that is named for them or for everybody", () => {
    expect(natsServers({ ...none, nats: "nats://127.0.0.1:4222" })).toEqual({ url: "nats://127.0.0.1:4222" });
    const [tlsCert, tlsKey, tlsCa] = ["c.crt", "c.key", "ca.crt"];
    const options = { ...none, nats: "tls://a:4222,tls://b:4222", tlsCert, tlsKey, tlsCa };
    expect(natsServers(options)?.tls).toEqual({ caFile: "ca.crt", certFile: "c.crt", keyFile: "c.key" });
    const natsCa = files().natsCreds;
    expect(natsServers({ ...options, natsCa })?.tls?.caFile).toBe(natsCa);
    expect(() => natsServers({ ...options, natsCa: "/nowhere" })).toThrow("--nats-ca /nowhere: no such file");
  });

  test("are named where something else of NATS is", () => {
    const { natsCreds } = files();
    expect(() => natsServers({ ...none, natsCreds })).toThrow(`--nats-creds ${natsCreds}: name the servers`);
  });
});

describe("credentials and key", () => {
  test("are taken together, and read again when they are exchanged; what cannot be used does not take their place", () => {
    const options = files();
    const warnings: string[] = [];
    const nats = natsWithSigning(options, (message) => warnings.push(message))!;
    const before = nats.credential!();
    expect(accounts.coordinatorCreds).toContain(before.seed);
    expect(accounts.signingKey).toContain(nats.signingKey!().seed);
    writeFileSync(options.natsCreds, "half a fi");
    expect(nats.credential!()).toEqual(before);
    expect(warnings).toEqual([
      `--nats-creds ${options.natsCreds}: has no token of a user in it (-----BEGIN NATS USER JWT-----); what was in it before stays in use`,
    ]);
  });

  test("one without the other is refused", () => {
    expect(() => natsWithSigning({ ...files(), natsSigningKey: undefined })).toThrow(
      "--nats-signing-key FILE",
    );
    expect(() => natsWithSigning({ ...files(), natsCreds: undefined })).toThrow("--nats-creds FILE");
  });

  test.each([
    ["the key instead", () => accounts.signingKey, "has no token of a user in it"],
    ["a token alone", () => accounts.coordinatorCreds.split("------END")[0]!, "has no token of a user in it"],
    [
      "no seed",
      () => accounts.coordinatorCreds.split("-----BEGIN USER")[0]!,
      "has no seed of a user in it (-----BEGIN USER NKEY SEED-----)",
    ],
    [
      "another user's seed",
      () => accounts.coordinatorCreds.replace(/^SU.*$/m, Buffer.from(createUser().getSeed()).toString()),
      "has a seed in it that is not of the user in the token",
    ],
    [
      "a flipped letter",
      () => accounts.coordinatorCreds.replace(/^eyJ0eX/m, "eyJ1eX"),
      "has a token in it that is damaged",
    ],
    [
      "an account's token",
      () => accounts.coordinatorCreds.replace(/^eyJ.*$/m, accounts.workersJwt),
      "has a token in it that is no user's",
    ],
  ])("a creds file with %s is refused by name", (_what, creds, problem) => {
    const options = files({ creds: creds() });
    expect(() => natsWithSigning(options)).toThrow(`--nats-creds ${options.natsCreds}: ${problem}`);
  });

  test("a creds file that has expired is refused, with the time", async () => {
    const user = createUser();
    const token = await encodeUser("c", user, accounts.coordinatorsSeed, {}, { exp: 1_000_000_000 });
    const options = files({ creds: Buffer.from(fmtCreds(token, user)).toString() });
    expect(() => natsWithSigning(options)).toThrow(
      "has a token in it that expired on 2001-09-09T01:46:40.000Z",
    );
  });

  test.each([
    ["nothing", () => "", "has no seed of an account's signing key in it (SA…)"],
    ["a user's seed", () => accounts.coordinatorCreds, "has no seed of an account's signing key in it (SA…)"],
    [
      "no account",
      () => accounts.signingKey.replace(/^A.*$/m, ""),
      "has no public key of the account in it that the seed signs for (A…)",
    ],
    [
      "a damaged seed",
      () => accounts.signingKey.replace(/^SAA?./m, "SAAX"),
      "has a seed in it that is damaged (SA…)",
    ],
    [
      "more",
      () => `${accounts.signingKey} more`,
      "has something else in it than an account (A…) and a seed (SA…)",
    ],
  ])("a key file with %s is refused by name", (_what, key, problem) => {
    const options = files({ key: key() });
    expect(() => natsWithSigning(options)).toThrow(
      `--nats-signing-key ${options.natsSigningKey}: ${problem}`,
    );
  });
});
