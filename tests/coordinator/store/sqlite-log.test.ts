import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openSqliteLog } from "../../../coordinator/store/sqlite-log.ts";
import { tempFolder } from "../../support/temp-folder.ts";

test("a log is one file when it is closed", async () => {
  const folder = tempFolder();
  const log = await openSqliteLog(join(folder, "state.db"));
  expect(await log.append([{ a: 1 }, "b"])).toBe(2);
  expect(await Promise.all([log.append([3]), log.append([4, 5])])).toEqual([3, 5]);
  const all = [];
  for await (const e of log.replay()) all.push(e);
  console.log(all, readdirSync(folder));
  await log.snapshot({ sum: 15 });
  await log.append([6]);
  await expect(openSqliteLog(join(folder, "state.db"))).rejects.toThrow(/has it since/);
  await log.close();
  console.log(readdirSync(folder));
  const again = await openSqliteLog(join(folder, "state.db"));
  const all2 = [];
  for await (const e of again.replay()) all2.push(e);
  console.log(again.term, again.last, all2);
  await again.close();
});
