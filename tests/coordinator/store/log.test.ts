import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { backup, restore } from "../../../coordinator/store/backup.ts";
import { FencedError, StoreClosedError, StoreDamagedError } from "../../../coordinator/store/errors.ts";
import { startNatsServer, type TestNatsServer } from "../../support/nats-server.ts";
import { records, replayed, STORE_KINDS, storePlace } from "../../support/store-places.ts";
import { tempFolder } from "../../support/temp-folder.ts";

let nats: TestNatsServer;
beforeAll(async () => {
  nats = await startNatsServer({ endsWithTest: false });
});
afterAll(() => nats.stop());

describe.each(STORE_KINDS)("a log on %s", (kind) => {
  const place = () => storePlace(kind, nats.url);

  test("begins empty, with its first term", async () => {
    const log = await place().open();
    expect(log).toMatchObject({ term: 1, last: 0 });
    expect(await replayed(log)).toEqual([]);
  });

  test("gives what was appended, in order, to the next one who opens it, in a higher term", async () => {
    const { open } = place();
    const first = await open();
    expect(await first.append([{ job: "a", state: "queued" }, null])).toBe(2);
    expect(await first.append(["ü\u0000\ud83d\ude00", [1.5, -0, 1e300]])).toBe(4);
    await first.close();
    const second = await open();
    expect(second).toMatchObject({ term: 2, last: 4 });
    expect(await second.append([5])).toBe(5);
    const values = [{ job: "a", state: "queued" }, null, "ü\u0000\ud83d\ude00", [1.5, 0, 1e300], 5];
    expect(await replayed(second)).toEqual(records(1, ...values));
  });

  test("puts appends that were not waited for one after the other, and tells each its sequence", async () => {
    const log = await place().open();
    const sizes = Array.from({ length: 60 }, (_, k) => k % 4);
    const appended = await Promise.all(sizes.map((size, k) => log.append(Array(size).fill(k))));
    let sum = 0;
    expect(appended).toEqual(sizes.map((size) => (sum += size)));
    expect(log.last).toBe(sum);
    expect(await replayed(log)).toEqual(records(1, ...sizes.flatMap((size, k) => Array(size).fill(k))));
  });

  test("takes values that are larger than a message of NATS", async () => {
    const { open } = place();
    const log = await open();
    const large = ["x".repeat(2_500_000), "y".repeat(700_000), "é".repeat(600_000)];
    await log.append(large);
    await log.append(["small"]);
    await log.close();
    expect(await replayed(await open())).toEqual(records(1, ...large, "small"));
  });

  test("refuses what JSON cannot say, and goes on", async () => {
    const log = await place().open();
    await expect(log.append([1, undefined])).rejects.toThrow(TypeError);
    expect(await log.append([2])).toBe(1);
  });

  test("begins with its newest snapshot; sequences go on", async () => {
    const { open } = place();
    const log = await open();
    await log.append([1, 2, 3]);
    const waiting = log.append([4]);
    await log.snapshot({ sum: 10 });
    await waiting;
    await log.append([5]);
    const large = {
      sum: 15,
      jobs: Array.from({ length: 1_000 }, (_, id) => ({ id, text: "j".repeat(3_000) })),
    };
    await log.snapshot(large);
    await log.append([6, 7]);
    const expected = [{ kind: "snapshot", upTo: 5, value: large }, ...records(6, 6, 7)];
    expect(await replayed(log)).toEqual(expected);
    await log.close();
    const again = await open();
    expect(again.last).toBe(7);
    expect(await replayed(again)).toEqual(expected);
  });

  test("replays what was there when the replay began; a snapshot waits for it", async () => {
    const log = await place().open();
    await log.append([1, 2]);
    const order: unknown[] = [];
    let snapshot: Promise<unknown> | undefined;
    for await (const entry of log.replay()) {
      order.push(entry);
      await log.append(["later"]);
      snapshot ??= log.snapshot("all").then(() => order.push("snapshot"));
    }
    order.push("end");
    await snapshot;
    expect(order).toEqual([...records(1, 1, 2), "end", "snapshot"]);
    expect(await replayed(log)).toEqual([{ kind: "snapshot", upTo: 4, value: "all" }]);
  });

  test("refuses the writes of one who was replaced, who hears of it", async () => {
    const at = place();
    const old = await at.open();
    await old.append(["before"]);
    await at.takeOver(old);
    await expect(Promise.all([old.append(["after"]), old.append(["too"])])).rejects.toThrow(FencedError);
    await old.lost;
    await expect(old.append(["later"])).rejects.toThrow(FencedError);
    await expect(old.snapshot("later")).rejects.toThrow(FencedError);
    await old.close();
    const next = await at.open();
    expect(next.term).toBeGreaterThan(old.term + 1);
    expect(await replayed(next)).toEqual(records(1, "before"));
  });

  test("refuses everything once it is closed", async () => {
    const log = await place().open();
    await Promise.all([log.close(), log.close()]);
    await expect(log.append([1])).rejects.toThrow(StoreClosedError);
    await expect(replayed(log)).rejects.toThrow(StoreClosedError);
  });

  test.each(STORE_KINDS)(
    "is restored from a backup onto %s, sequences and all, in a higher term",
    async (other) => {
      const file = join(tempFolder(), "backup.jsonl");
      const at = place();
      for (let term = 1; term < 4; term++) await (await at.open()).close();
      const log = await at.open();
      await log.append([1, 2]);
      await log.snapshot({ sum: 3 });
      await log.append(["x", { y: 1 }]);
      await backup(log, file);

      const target = await storePlace(other, nats.url).open();
      await restore(file, target);
      expect(target.term).toBeGreaterThan(log.term);
      expect(await replayed(target)).toEqual(await replayed(log));
      expect(await target.append(["next"])).toBe(5);
      await expect(restore(file, target)).rejects.toThrow("holds records, and can adopt none");
    },
  );

  test("is restored from a backup without a snapshot, and of nothing", async () => {
    const file = join(tempFolder(), "backup.jsonl");
    const log = await place().open();
    await backup(log, file);
    const target = await place().open();
    await restore(file, target);
    await log.append(["a"]);
    await backup(log, file);
    await restore(file, target);
    expect(await replayed(target)).toEqual(records(1, "a"));
  });
});

test("a backup that was cut or changed is refused, by its name, before anything is written", async () => {
  const file = join(tempFolder(), "backup.jsonl");
  const log = await storePlace("sqlite", nats.url).open();
  await log.append(["abc", { n: 12 }, "def"]);
  await log.snapshot("s");
  await log.append(["ghi"]);
  await backup(log, file);
  const whole = await readFile(file);
  const target = await storePlace("sqlite", nats.url).open();
  for (let length = 0; length < whole.length - 1; length += 7) {
    writeFileSync(file, whole.subarray(0, length));
    await expect(restore(file, target), `cut to ${length}`).rejects.toThrow(StoreDamagedError);
  }
  for (let at = 0; at < whole.length - 1; at += 5) {
    const changed = Buffer.from(whole);
    changed[at] = changed[at]! ^ 1;
    writeFileSync(file, changed);
    await expect(restore(file, target), `changed at ${at}`).rejects.toThrow(`${file}: `);
  }
  expect(await replayed(target)).toEqual([]);
});
