import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { StoreDamagedError } from "../../../coordinator/store/errors.ts";
import type { LogEntry } from "../../../coordinator/store/log.ts";
import { SqliteConnection } from "../../../coordinator/store/sqlite-connection.ts";
import { openSqliteLog } from "../../../coordinator/store/sqlite-log.ts";
import { smallDisk } from "../../support/small-disk.ts";
import { records, replayed, sqlitePlace } from "../../support/store-places.ts";
import { startStoreProcess } from "../../support/store-process.ts";
import { expectWhole, startStoreWriter } from "../../support/store-writer.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { uniform } from "../../support/uniform.ts";

const newFile = () => join(tempFolder(), "state.db");

/** A closed log with a snapshot and records, of about 20 pages. */
async function writtenFile(): Promise<{ file: string; entries: LogEntry[] }> {
  const file = newFile();
  const log = await openSqliteLog(file);
  await log.append([1, 2]);
  await log.snapshot({ text: "s".repeat(9_000) });
  await log.append(Array.from({ length: 60 }, (_, n) => ({ n, text: "r".repeat(800) })));
  const entries = await replayed(log);
  await log.close();
  return { file, entries };
}

async function openAndReplay(file: string): Promise<LogEntry[]> {
  const log = await openSqliteLog(file);
  try {
    return await replayed(log);
  } finally {
    await log.close();
  }
}

test("a bit that was flipped anywhere in the file changes nothing of what is replayed, or is an error that names the file", async () => {
  const { file, entries } = await writtenFile();
  const whole = readFileSync(file);
  const random = uniform(23);
  let refused = 0;
  for (let k = 0; k < 120; k++) {
    const changed = Buffer.from(whole);
    // Every third one among the headers of file and pages, where a bit means most.
    const at =
      k % 3 === 0
        ? Math.floor(random() * (whole.length / 4096)) * 4096 + Math.floor(random() * 120)
        : Math.floor(random() * whole.length);
    changed[at] = changed[at]! ^ (1 << Math.floor(random() * 8));
    writeFileSync(file, changed);
    try {
      expect(await openAndReplay(file), `bit flipped in byte ${at}`).toEqual(entries);
    } catch (error) {
      if (!(error as Error).message.startsWith(`${file}: `)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(60);
});

test("a file that was cut is refused, wherever it was cut", async () => {
  const { file } = await writtenFile();
  const whole = readFileSync(file);
  for (let length = 0; length < whole.length; length += 3_001) {
    writeFileSync(file, whole.subarray(0, length));
    await expect(openAndReplay(file), `cut to ${length}`).rejects.toThrow(StoreDamagedError);
    await expect(openAndReplay(file)).rejects.toThrow(`${file}: is `);
  }
});

test("a damaged journal of a killed writer costs the end of the log at most, and no append is half", async () => {
  const random = uniform(7);
  for (let seed = 1; seed <= 4; seed++) {
    const file = newFile();
    const writer = startStoreWriter({ file, seed, pad: 5_000 });
    await writer.acked(6);
    await writer.kill();
    const { size } = statSync(`${file}-wal`);
    const journal = readFileSync(`${file}-wal`);
    const at = Math.floor(random() * size);
    journal[at] = journal[at]! ^ 16;
    writeFileSync(`${file}-wal`, journal);
    if (seed % 2 === 0) truncateSync(`${file}-wal`, Math.floor(random() * size));
    const log = await sqlitePlace(file).open();
    await expectWhole(log, 0);
  }
});

test.each([
  [
    "a text",
    (file: string) => writeFileSync(file, "models: []\n".repeat(500)),
    "is damaged: file is not a database",
  ],
  ["nothing", (file: string) => writeFileSync(file, ""), "is empty: it was cut, or never was a store"],
  [
    "another program's SQLite file",
    (file: string) => runSql(file, "CREATE TABLE t (x)"),
    "is a SQLite file, and not a store of elibad",
  ],
])("a file that holds %s is refused, and left as it is", async (_, make, problem) => {
  const file = newFile();
  await make(file);
  const before = readFileSync(file);
  await expect(openSqliteLog(file)).rejects.toThrow(`${file}: ${problem}`);
  expect(readFileSync(file)).toEqual(before);
});

test("a layout of a later elibad is refused by its number", async () => {
  const { file } = await writtenFile();
  await runSql(file, "PRAGMA user_version = 9");
  await expect(openSqliteLog(file)).rejects.toThrow(`${file}: has layout 9; this elibad reads layout 1`);
});

test("a record that is missing is named", async () => {
  const { file } = await writtenFile();
  await runSql(file, "DELETE FROM record WHERE sequence = 33");
  await expect(openAndReplay(file)).rejects.toThrow(`${file}: is damaged: record 33 of 62 is missing`);
  await runSql(file, "DELETE FROM record WHERE sequence > 30");
  await expect(openAndReplay(file)).rejects.toThrow(`${file}: is damaged: record 31 of 62 is missing`);
});

test("on a full disk an append is refused whole; the log goes on when there is room again", async (context) => {
  const disk = await smallDisk(1, context);
  const log = startStoreProcess(disk);
  await log.ask({ open: { file: join(disk.folder, "state.db") } });
  writeFileSync(disk.seenFromHere("other"), Buffer.alloc(600_000));
  await log.ask({ append: ["fits"] });
  await expect(log.ask({ append: ["small", "x".repeat(800_000)] })).rejects.toThrow("StoreFullError: ");
  expect(await log.ask({ replay: true })).toEqual(records(1, "fits"));
  rmSync(disk.seenFromHere("other"));
  expect(await log.ask({ append: ["after"] })).toBe(2);
  expect(await log.ask({ replay: true })).toEqual(records(1, "fits", "after"));
  await log.ask({ close: true });
});

async function runSql(file: string, sql: string): Promise<void> {
  const connection = new SqliteConnection(file);
  await connection.execute(sql);
  connection.close();
}
