import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { StoreGoneError, StoreHeldError } from "../../../coordinator/store/errors.ts";
import { openSqliteLog } from "../../../coordinator/store/sqlite-log.ts";
import { records, replayed, sqlitePlace } from "../../support/store-places.ts";
import { expectWhole, startStoreWriter } from "../../support/store-writer.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { uniform } from "../../support/uniform.ts";

const newFile = () => join(tempFolder(), "state.db");

test("a closed log is one file", async () => {
  const folder = tempFolder();
  const log = await sqlitePlace(join(folder, "state.db")).open();
  await log.append([1]);
  await log.snapshot(1);
  await log.close();
  expect(readdirSync(folder)).toEqual(["state.db"]);
});

test("killed at any point, also while it opens, a writer leaves all that was acknowledged and no half append", async () => {
  const file = newFile();
  const random = uniform(5);
  let hasMore = 0;
  for (let seed = 1; seed <= 10 || (hasMore === 0 && seed <= 40); seed++) {
    const writer = startStoreWriter({ file, seed, pad: 20_000 });
    if (seed % 5 > 0) await writer.acked(1 + Math.floor(random() * 6));
    else await pause(100 + random() * 150);
    await pause(random() * 12);
    await writer.kill();
    const log = await openSqliteLog(file);
    await expectWhole(log, writer.lastAcked ?? 0);
    if (log.last > (writer.lastAcked ?? log.last)) hasMore++;
    await log.close();
  }
  // Some were killed between the disk's answer and their own: what they wrote is there whole.
  expect(hasMore).toBeGreaterThan(0);
});

test("a second coordinator ends with 1 and names the first, also a paused one; a killed one is replaced", async () => {
  const file = newFile();
  const first = startStoreWriter({ file });
  await first.acked(1);
  first.process.kill("SIGSTOP");
  const held = new RegExp(
    `${file}: process ${first.process.pid} on ${hostname()} has it since 20..-..-..T.*Z; one coordinator`,
  );
  await expect(openSqliteLog(file)).rejects.toThrow(held);
  const second = startStoreWriter({ file });
  const [code] = await once(second.process, "exit");
  expect([code, second.lines]).toEqual([1, []]);
  await first.kill();
  const log = await sqlitePlace(file).open();
  await expectWhole(log, first.lastAcked!);
  await expect(openSqliteLog(file)).rejects.toThrow(StoreHeldError);
  await log.append([{ n: log.last + 1 }]);
});

test("of several that open a new file at the same time, one gets it", async () => {
  const file = newFile();
  const writers = Array.from({ length: 4 }, () => startStoreWriter({ file }));
  const codes = writers.map(async ({ process }) => (await once(process, "exit"))[0]);
  const lost = await Promise.race([
    Promise.all(codes),
    (async () => {
      while (writers.filter(({ process }) => process.exitCode === null).length > 1) await pause(20);
      return "one is left";
    })(),
  ]);
  expect(lost).toBe("one is left");
  const left = writers.find(({ process }) => process.exitCode === null)!;
  await left.acked(3);
  expect(writers.filter(({ process }) => process.exitCode === 1)).toHaveLength(3);
});

test("a file that was moved away takes no more appends", async () => {
  const file = newFile();
  const log = await sqlitePlace(file).open();
  await log.append([1]);
  renameSync(file, `${file}.moved`);
  await expect(log.append([2])).rejects.toThrow(StoreGoneError);
  await expect(log.append([2])).rejects.toThrow(`${file}: was removed or replaced`);
});

test("a copy of a file that was in use is a log, too", async () => {
  const file = newFile();
  const log = await sqlitePlace(file).open();
  await log.append([1, 2]);
  const folder = join(tempFolder(), "copy");
  mkdirSync(folder);
  for (const end of ["", "-wal"]) {
    if (existsSync(file + end)) copyFileSync(file + end, join(folder, `state.db${end}`));
  }
  const copy = await sqlitePlace(join(folder, "state.db")).open();
  expect(copy.term).toBe(2);
  expect(await replayed(copy)).toEqual(records(1, 1, 2));
});

test("a path that cannot be a log is named", async () => {
  const folder = tempFolder();
  await expect(openSqliteLog(folder)).rejects.toThrow(`${folder}: `);
  await expect(openSqliteLog(folder)).rejects.not.toThrow(StoreHeldError);
  const inNoFolder = join(folder, "none", "state.db");
  await expect(openSqliteLog(inNoFolder)).rejects.toThrow(`${inNoFolder}: `);
});
