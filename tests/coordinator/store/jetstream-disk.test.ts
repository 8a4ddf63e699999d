import { rmSync, writeFileSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { StoreFullError } from "../../../coordinator/store/errors.ts";
import { openJetStreamLog } from "../../../coordinator/store/jetstream-log.ts";
import { startNatsServer } from "../../support/nats-server.ts";
import { smallDisk } from "../../support/small-disk.ts";
import { jetStreamOptions, records, replayed } from "../../support/store-places.ts";

test("while a server's disk is full appends wait; with room, and the server started again, they go on", async (context) => {
  const disk = await smallDisk(8, context);
  const nats = await startNatsServer({ disk });
  const options = { ...jetStreamOptions(nats.url), leaseMs: 120_000 };
  // The server gives a stream no more than three quarters of its disk.
  await expect(openJetStreamLog({ ...options, maxBytes: 64 * 1024 ** 2 })).rejects.toThrow(StoreFullError);
  const waits: string[] = [];
  const log = await openJetStreamLog({ ...options, maxBytes: 4_000_000, log: (line) => waits.push(line) });
  onTestFinished(() => log.close());
  writeFileSync(disk.seenFromHere("other"), Buffer.alloc(6_000_000));
  const texts = Array.from({ length: 60 }, (_, k) => `${k}`.padEnd(50_000));
  const writing = (async () => {
    for (const text of texts) await log.append([text]);
  })();
  await expect.poll(() => waits.join()).toContain("an append waits");
  expect(log.last).toBeLessThan(texts.length);
  rmSync(disk.seenFromHere("other"));
  // A server that once could not write does not try again.
  await nats.restart();
  await writing;
  expect(await replayed(log)).toEqual(records(1, ...texts));
});
