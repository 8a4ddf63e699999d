import { expect, test } from "vitest";
import { runJobsInARow } from "../bench/jobs-in-a-row.ts";
import { tempFolder } from "../support/temp-folder.ts";

test("scans that a coordinator runs for others leave no file of theirs in its folder", async () => {
  const after = await runJobsInARow(3, tempFolder(), () => {});
  expect(after.map(({ artifacts }) => artifacts)).toEqual(new Array(3).fill(after[0]!.artifacts));
});
