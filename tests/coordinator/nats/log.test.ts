import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { EXIT } from "../../../coordinator/cli/errors.ts";
import { backup } from "../../../coordinator/store/backup.ts";
import { openJetStreamLog } from "../../../coordinator/store/jetstream-log.ts";
import type { RestorableLog } from "../../../coordinator/store/log.ts";
import { elibadHere } from "../../support/command-line.ts";
import { startSecuredNats } from "../../support/secured-nats.ts";
import { records, replayed } from "../../support/store-places.ts";
import { tempFolder } from "../../support/temp-folder.ts";

test("the log and the lease of who leads need no more than a coordinator's credentials permit, also over a restart of the server", async () => {
  const nats = await startSecuredNats();
  const open = async (name: string): Promise<RestorableLog> => {
    const options = {
      ...nats.coordinator,
      name,
      address: "here:1",
      maxBytes: 64 * 1024 ** 2,
      leaseMs: 1_000,
    };
    const log = await openJetStreamLog(options);
    onTestFinished(() => log.close());
    return log;
  };
  const first = await open("lab");
  // Larger than a message of NATS.
  const large = "x".repeat(2_500_000);
  await first.append(["a", large]);
  const standby = open("lab");
  await first.close();
  const second = await standby;
  expect(second).toMatchObject({ term: 2, last: 2 });
  await second.append(["b"]);
  expect(await replayed(second)).toEqual(records(1, "a", large, "b"));
  await second.snapshot("all of it");

  await nats.restart();
  await second.append(["c"]);
  const snapshot = { kind: "snapshot", upTo: 3, value: "all of it" };
  expect(await replayed(second)).toEqual([snapshot, ...records(4, "c")]);
  const file = join(tempFolder(), "lab.backup");
  await backup(second, file);
  const at = (name: string) => join(nats.certs, name);
  const run = await elibadHere(
    ...["coordinator", "restore", file, "--state", tempFolder(), "--log-name", "restored"],
    ...["--nats", nats.url, "--nats-creds", at("nats/coordinator.creds")],
    ...["--tls-cert", at("coordinator.crt"), "--tls-key", at("coordinator.key"), "--tls-ca", at("ca.crt")],
  );
  expect([run.code, run.stderr]).toEqual([EXIT.done, ""]);
  const restored = await open("restored");
  expect(await replayed(restored)).toEqual([snapshot, ...records(4, "c")]);
  expect(nats.said()).not.toContain("Violation");
});
