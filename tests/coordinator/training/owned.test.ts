import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Executor, Operation, OperationKind } from "../../../proto/operations.ts";
import { createLocalExecutor, type LocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { classifierCells } from "../../support/golden-cell.ts";
import { hasShared } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { openTraining, trainCell } from "../../support/training-case.ts";

let folder: string;
let executor: LocalExecutor;
beforeEach(async () => {
  folder = tempFolder();
  executor = await createLocalExecutor({ folder, threads: 1 });
});
afterEach(() => executor.close());

/** The same executor, with the kinds of its operations written down. */
function recorded(kinds: OperationKind[]): Executor {
  return {
    ...executor,
    execute: (operations: readonly Operation[], signal) => {
      kinds.push(...operations.map(({ kind }) => kind));
      return executor.execute(operations, signal);
    },
  };
}

const owned = { ownedAboveBytes: 0 };

describe.skipIf(!hasShared)("a training run that one worker owns", () => {
  const cells = [...classifierCells, ...["codebert", "codet5"].map((arch) => `code_search-${arch}`)];

  test.each(cells)(
    "%s: has the losses, norms and weights of the data-parallel form, bit for bit",
    async (cell) => {
      const parallel = await trainCell(executor, cell);
      const kinds: OperationKind[] = [];
      const alone = await trainCell(recorded(kinds), cell, owned);
      expect(kinds).toEqual(["train-run"]);
      expect(alone.records).toEqual(parallel.records);
      expect([...alone.weights.keys()]).toEqual([...parallel.weights.keys()]);
      for (const [name, data] of parallel.weights) expect(alone.weights.get(name), name).toEqual(data);
    },
  );

  test("gives the same in segments of other lengths, with dropout", async () => {
    const cell = "defect_detection-codebert";
    const parallel = await trainCell(executor, cell, { dropout: 0.1 });
    const kinds: OperationKind[] = [];
    const alone = await trainCell(recorded(kinds), cell, { ...owned, dropout: 0.1 }, [1, 2, 1]);
    expect(kinds).toEqual(["train-run", "train-run", "train-run"]);
    expect(alone).toEqual(parallel);
  });

  test("predicts with the weights of the last segment, and keeps no artifact after its end", async () => {
    const before = new Set(readdirSync(join(folder, "artifacts")));
    const { trainer, steps } = await openTraining(executor, "defect_detection-codebert", owned);
    await trainer.run(steps.slice(0, 2));
    const artifact = await trainer.weightsArtifact();
    expect(readdirSync(join(folder, "artifacts"))).toContain(artifact);
    await trainer.run(steps.slice(2));
    expect(readdirSync(join(folder, "artifacts"))).not.toContain(artifact);
    await trainer.close();
    const { trainer: other } = await openTraining(executor, "defect_detection-codebert", owned);
    await other.close();
    const left = readdirSync(join(folder, "artifacts")).filter((name) => !before.has(name));
    // The manifest, its two files and the samples.
    expect(left).toHaveLength(4);
    expect(readdirSync(join(folder, "results"))).toEqual([]);
  });

  test("small weights are data-parallel unless told otherwise", async () => {
    const kinds: OperationKind[] = [];
    await trainCell(recorded(kinds), "defect_detection-codebert", {}, [1]);
    expect(new Set(kinds)).toEqual(new Set(["train-step"]));
  });
});
