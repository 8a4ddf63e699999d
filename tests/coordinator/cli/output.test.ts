import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { openLineFile, writeFolderWhole } from "../../../coordinator/cli/output.ts";
import { lineDisplay } from "../../../coordinator/cli/progress.ts";
import { tempFolder } from "../../support/temp-folder.ts";

let folder: string;
beforeEach(() => {
  folder = tempFolder();
});

test("a folder appears whole or not at all", async () => {
  const out = join(folder, "out");
  await expect(
    writeFolderWhole(out, async (aside) => {
      writeFileSync(join(aside, "half"), "1");
      throw new Error("died");
    }),
  ).rejects.toThrow("died");
  expect(readdirSync(folder)).toEqual([]);
  await writeFolderWhole(out, async (aside) => writeFileSync(join(aside, "whole"), "1"));
  expect(readdirSync(out)).toEqual(["whole"]);
});

test("a folder with files in it is never overwritten", async () => {
  const out = join(folder, "out");
  mkdirSync(out);
  writeFileSync(join(out, "mine"), "1");
  await expect(writeFolderWhole(out, async () => undefined)).rejects.toThrow(/not empty/);
  expect(readdirSync(out)).toEqual(["mine"]);
});

test("a line file carries its name only when it is complete", async () => {
  const path = join(folder, "trace.jsonl");
  const file = openLineFile(path);
  file.write({ step: 0 });
  expect(existsSync(path)).toBe(false);
  await file.commit();
  expect(readFileSync(path, "utf8")).toBe('{"step":0}\n');
  expect(readdirSync(folder)).toEqual(["trace.jsonl"]);
});

test("without a terminal, progress is a line now and then, and always the last one", () => {
  const lines: string[] = [];
  let now = 0;
  const display = lineDisplay(
    (text) => lines.push(text),
    1_000,
    () => now,
  );
  for (let done = 0; done <= 10; done++, now += 300) {
    display.progress({ phase: "search", done, total: 10, unit: "step", fields: { loss: 0.123456 } });
  }
  expect(lines[0]).toBe("search: 0/10 step · loss 0.1235\n");
  expect(lines.at(-1)).toBe("search: 10/10 step · loss 0.1235\n");
  expect(lines.length).toBeLessThan(6);
});
