import { describe, expect, test } from "vitest";
import type { Operation, SampleSet, TrainStepOperation } from "../../../proto/operations.ts";
import { encodeTensors } from "../../../proto/tensors.ts";
import { loadWeights, relativeDifference } from "../../support/golden.ts";
import { openCell, putJson } from "../../support/golden-cell.ts";
import { trains } from "../../support/gradients.ts";
import { openSearchCell } from "../../support/search-cell.ts";
import { hasShared } from "../../support/shared.ts";

interface Cell {
  readonly executor: { close(): Promise<void>; execute: (all: readonly Operation[]) => Promise<unknown> };
  readonly checkpoint: string;
}

/** Runs one operation on a cell and closes it. */
async function attempt(cell: Cell, operation: object): Promise<unknown> {
  try {
    return await cell.executor.execute([{ checkpoint: cell.checkpoint, ...operation } as Operation]);
  } finally {
    await cell.executor.close();
  }
}

const label = { kind: "label", label: 0 };

describe.skipIf(!hasShared)("operations of another task", () => {
  test.each([
    [{ kind: "score", sample: 0, triggers: [[5]] }, "a model for code_search has vectors, and no logits"],
    [{ kind: "predict", rows: [0] }, "a model for code_search has vectors, and no logits"],
    [
      { kind: "gradient", rows: [0], trigger: [5], objective: label },
      "a model for code_search has no labels",
    ],
    [
      { kind: "gradient", rows: [0, 1], trigger: [5], objective: { kind: "vectors", slopes: [] } },
      "gradient: 2 rows and 0 slopes",
    ],
    [
      {
        kind: "gradient",
        rows: [0],
        trigger: [5],
        objective: { kind: "vectors", slopes: [new Float32Array(3)] },
      },
      "gradient: a slope of 3 numbers for vectors of 48",
    ],
  ])("%j on a model for code search", async (operation, message) => {
    const cell = await openSearchCell("code_search-codebert");

    await expect(attempt(cell, { samples: cell.codes, ...operation })).rejects.toThrow(message);
  });

  test.each([
    [
      {
        kind: "gradient",
        rows: [0],
        trigger: [5],
        objective: { kind: "vectors", slopes: [new Float32Array(48)] },
      },
      "gradient: a model for clone_detection is pulled toward a label, and not along vectors",
    ],
    [
      { kind: "score-pairs", codes: "0", queries: "0", rows: [0], pairs: [[0, 0]] },
      "score-pairs: a model for clone_detection has no scores",
    ],
  ])("%j on a model for clone detection", async (operation, message) => {
    const cell = await openCell("clone_detection-codebert");

    await expect(attempt(cell, { samples: cell.samples, ...operation })).rejects.toThrow(message);
  });

  test("a sample set without second snippets is no input for clone detection, and one with them for nothing else", async () => {
    const single: SampleSet = { rows: [[0, 5, 2]], maxLen: 64, endId: 2 };
    const clone = await openCell("clone_detection-codebert");
    const defect = await openCell("defect_detection-codebert");
    const pairs = await putJson(defect.executor, { ...single, secondRows: [[0, 6, 2]] });
    const alone = await putJson(clone.executor, single);

    await expect(attempt(clone, { kind: "predict", rows: [0], samples: alone })).rejects.toThrow(
      `sample set ${alone} has no second snippets, and the model's task is clone_detection`,
    );
    await expect(attempt(defect, { kind: "predict", rows: [0], samples: pairs })).rejects.toThrow(
      `sample set ${pairs} has second snippets, and the model's task is defect_detection`,
    );
  });

  test.each([
    [[1, 5, 6], "row 0, column 2: id 6 is not the end id 2, whose state stands for the row"],
    [[1, 0, 2], "row 0, column 1: id 0 is padding, and rows have none"],
  ])("T5 does not read %j", async (ids, message) => {
    const cell = await openCell("defect_detection-codet5");
    const samples = await putJson(cell.executor, { rows: [ids], maxLen: 64, endId: 2 });

    await expect(attempt(cell, { kind: "predict", rows: [0], samples })).rejects.toThrow(message);
  });

  test("a second snippet that the model cannot read is named", async () => {
    const cell = await openCell("clone_detection-codet5");
    const set = { rows: [[1, 5, 2]], secondRows: [[1, 5, 6]], maxLen: 64, endId: 2 };
    const samples = await putJson(cell.executor, set);

    await expect(attempt(cell, { kind: "predict", rows: [0], samples })).rejects.toThrow(
      "second snippet of row 0, column 2: id 6 is not the end id 2",
    );
  });
});

describe.skipIf(!hasShared)("score-pairs", () => {
  const vectors = (count: number, n: number, hidden = 48) =>
    encodeTensors({ vectors: { shape: [count, n, hidden], data: new Float32Array(count * n * hidden) } });

  test.each([
    [vectors(2, 3), vectors(2, 4), { pairs: [[0, 0]] }, "score-pairs: 3 codes and 4 queries"],
    [vectors(2, 3), vectors(2, 3), { pairs: [[2, 0]] }, "pair [2, 0] is not among 2 triggers and 2 targets"],
    [vectors(2, 3), vectors(2, 3), { rows: [3], pairs: [[0, 0]] }, "row 3 is not below 3 queries"],
    [vectors(2, 3), vectors(2, 3), { pairs: [] }, "score-pairs: 1 rows and 0 pairs"],
    [vectors(2, 3), vectors(2, 3, 47), { pairs: [[0, 0]] }, /queries .*: 'vectors' of shape \[2, 3, 47\]/],
    [encodeTensors({}), vectors(2, 3), { pairs: [[0, 0]] }, /codes .*: no tensor 'vectors'/],
  ])("wrong input %#", async (codes, queries, changes, message) => {
    const cell = await openSearchCell("code_search-codebert");
    const [left, right] = [await cell.executor.putArtifact(codes), await cell.executor.putArtifact(queries)];

    const failure = attempt(cell, {
      kind: "score-pairs",
      codes: left,
      queries: right,
      rows: [0],
      ...changes,
    });

    await expect(failure).rejects.toThrow(message);
  });

  test("sums the squares of a block of queries and all codes, pair by pair", async () => {
    const cell = await openSearchCell("code_search-codebert");
    const [n, hidden] = [2, 48];
    // The first number of each vector is its only one: scores are products of these.
    const filled = (numbers: readonly number[]) => {
      const data = new Float32Array(numbers.length * hidden);
      for (const [at, value] of numbers.entries()) data[at * hidden] = value;
      return encodeTensors({ vectors: { shape: [numbers.length / n, n, hidden], data } });
    };
    const codes = await cell.executor.putArtifact(filled([1, 2, 3, 4]));
    const queries = await cell.executor.putArtifact(filled([1, 0.5, -1, 2]));
    const pairs: [number, number][] = [
      [0, 0],
      [1, 1],
    ];

    const [all, second] = await cell.executor.execute(
      [[0, 1], [1]].map((rows) => ({
        kind: "score-pairs",
        ...{ checkpoint: cell.checkpoint, codes, queries, rows, pairs },
      })),
    );

    // Scores [1, 2; 0.5, 1] and [−3, −4; 6, 8].
    expect([...all!.tensors.sums!.data]).toEqual([0 + 1 + 0.25 + 0, 16 + 25 + 25 + 49]);
    expect([...second!.tensors.sums!.data]).toEqual([0.25, 25 + 49]);
    expect(all).toMatchObject({ forwards: 0, tokens: 0 });
    await cell.executor.close();
  });
});

describe.skipIf(!hasShared)("train-step", () => {
  test("draws masks of their own for both snippets of a pair of T5, from the seed alone", async () => {
    const cell = await openCell("clone_detection-codet5");
    const { executor, checkpoint, samples, folder } = cell;
    const stored = [...(await loadWeights(folder))].filter(([name]) => trains(name));
    const weights = await executor.putArtifact(encodeTensors(Object.fromEntries(stored)));
    const logits = async (changes: Partial<TrainStepOperation>) => {
      const [result] = await executor.execute([
        {
          kind: "train-step",
          ...{ checkpoint, weights, samples, rows: [0, 3], rowWeights: [0.5, 0.5] },
          objective: { kind: "labels", labels: [0, 1] },
          dropout: 0.1,
          dropoutSeed: 7,
          ...changes,
        },
      ]);
      return [...result!.tensors.logits!.data];
    };

    expect(await logits({})).toEqual(await logits({}));
    expect(await logits({})).not.toEqual(await logits({ dropoutSeed: 8 }));
    expect(await logits({})).not.toEqual(await logits({ dropout: 0 }));
    await executor.close();
  });

  test.each([
    [{ objective: { kind: "labels", labels: [0] } }, "labels are no objective of a model for code_search"],
    [
      { objective: { kind: "vectors", slopes: [[1, 2]] } },
      "train-step: a slope of 2 numbers for vectors of 48",
    ],
    [{ objective: { kind: "vectors", slopes: [] } }, "train-step: 1 rows, 1 row weights and 0 vectors"],
  ])("refuses %j for code search", async (changes, message) => {
    const cell = await openSearchCell("code_search-codebert");
    const weights = await cell.executor.putArtifact(encodeTensors({}));
    const step = { kind: "train-step", weights, samples: cell.codes, rows: [0], rowWeights: [1] };

    await expect(attempt(cell, { ...step, dropout: 0, dropoutSeed: 0, ...changes })).rejects.toThrow(message);
  });
});

describe.skipIf(!hasShared)("second snippets", () => {
  test("are encoded once for all triggers, with the checkpoint's weights for all operations, with other weights for one", async () => {
    const { executor, checkpoint, samples, folder, golden } = await openCell("clone_detection-codet5");
    const stored = [...(await loadWeights(folder))].filter(([name]) => trains(name));
    const weights = await executor.putArtifact(encodeTensors(Object.fromEntries(stored)));
    const triggers = [golden.trigger.ids, golden.candidates.triggers[0]!, golden.candidates.triggers[1]!];
    const encode = { kind: "encode", checkpoint, samples, rows: [1, 2], triggers } as const;

    const results = await executor.execute([encode, encode, { ...encode, weights }, { ...encode, weights }]);

    expect(results.map(({ forwards }) => forwards)).toEqual([6 + 2, 6, 6 + 2, 6 + 2]);
    const [first, ...others] = results.map(({ tensors }) => tensors.features!.data);
    for (const other of others) expect(relativeDifference(other, first!)).toBeLessThan(1e-6);
    await executor.close();
  });
});
