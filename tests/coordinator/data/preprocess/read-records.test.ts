import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  type FileRecord,
  readLines,
  readRecords,
} from "../../../../coordinator/data/preprocess/read-records.ts";
import { tempFolder } from "../../../support/temp-folder.ts";

function fileOf(content: string): string {
  const file = join(tempFolder(), "rows");
  writeFileSync(file, content);
  return file;
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** More than one piece of a file, with characters of three bytes at every place of a piece's end. */
const long = Array.from({ length: 3_000 }, (_, k) => ({
  k,
  text: "€".repeat(40 + (k % 3)) + "x".repeat(k % 7),
}));
const values = (records: readonly FileRecord[]) => records.map(({ value }) => value);

test("lines and list items come out whole, wherever a piece of the file ends", async () => {
  const lines = await all(readRecords(fileOf(long.map((row) => JSON.stringify(row)).join("\n"))));
  expect(values(lines)).toEqual(long);
  expect(lines.at(-1)!.place.line).toBe(3_000);
  const items = await all(readRecords(fileOf(JSON.stringify(long, null, 1))));
  expect(values(items)).toEqual(long);
  expect(items.at(-1)!.place.file).toMatch(/rows\[2999\]$/);
});

test("only \\n ends a line; a byte-order mark and empty lines mean nothing, and count", async () => {
  const file = fileOf('\uFEFF{"a":"\u2028"}\r\n\n{"a":2}\n');
  expect(await all(readRecords(file))).toEqual([
    { place: { file, line: 1 }, value: { a: "\u2028" } },
    { place: { file, line: 3 }, value: { a: 2 } },
  ]);
  expect((await all(readLines(file))).map(({ line }) => line)).toEqual([1, 2, 3]);
});

test("bytes read are told as they are on the disk, up to all of them", async () => {
  const text = long.map((row) => JSON.stringify(row)).join("\n");
  const told: number[] = [];
  await all(readRecords(fileOf(text), (bytes) => told.push(bytes)));
  expect(told.at(-1)).toBe(Buffer.byteLength(text));
  expect(told).toEqual(told.toSorted((a, b) => a - b));
});
