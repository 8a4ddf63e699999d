import { join } from "node:path";
import { expect, test } from "vitest";
import { startStoreProcess } from "../../support/store-process.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const ROUNDS = 6;
const file = (folder: string, round: number) => join(folder, `${round}.db`);

test.each(["a new file", "the file of a killed holder"])(
  "of four that open %s at the same time, one gets it and can write, and the others name it",
  { timeout: 300_000 },
  async (kind) => {
    const folder = tempFolder();
    const isNew = kind === "a new file";
    if (!isNew) {
      const holder = startStoreProcess();
      for (let round = 0; round < ROUNDS; round++) {
        await holder.ask({ open: { file: file(folder, round) } });
        await holder.ask({ append: [1, 2] });
      }
      await holder.end();
    }
    const processes = Array.from({ length: 4 }, () => startStoreProcess());
    // Nothing is open yet; this waits until all of them have started.
    await Promise.all(processes.map((each) => each.ask({ close: true })));
    for (let round = 0; round < ROUNDS; round++) {
      const opened = await Promise.allSettled(
        processes.map((each) => each.ask<number>({ open: { file: file(folder, round) } })),
      );
      const problems = opened.flatMap((each) => (each.status === "rejected" ? [String(each.reason)] : []));
      expect(problems, problems.join("\n")).toHaveLength(3);
      for (const problem of problems)
        expect(problem).toMatch(/StoreHeldError: .*; one coordinator at a time/);
      const holder = processes[opened.findIndex(({ status }) => status === "fulfilled")]!;
      expect(await holder.ask({ append: [3] })).toBe(isNew ? 1 : 3);
      expect(await holder.ask({ append: [4] })).toBe(isNew ? 2 : 4);
      await Promise.all(processes.map((each) => each.ask({ close: true })));
    }
  },
);
