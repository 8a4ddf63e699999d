import { describe, expect, test } from "vitest";
import type { TensorMap, TrainStepOperation } from "../../../proto/operations.ts";
import { encodeTensors } from "../../../proto/tensors.ts";
import { loadArrays, loadWeights, relativeDifference } from "../../support/golden.ts";
import { classifierCells, type OpenCell, openCell } from "../../support/golden-cell.ts";
import { denseGradient, trains } from "../../support/gradients.ts";
import { hasShared } from "../../support/shared.ts";

const NAME = "encoder.embeddings.word_embeddings.weight";

/** The cell's first training batch at its initial weights, changed by the test. */
async function firstStep(
  cell: OpenCell,
  changes: Partial<TrainStepOperation> = {},
  keep = (_name: string) => true,
) {
  const { golden, folder, executor, checkpoint, samples } = cell;
  const stored = [...(await loadWeights(folder))].filter(([name]) => trains(name) && keep(name));
  const weights = Object.fromEntries(stored);
  const rows = golden.training.steps[0]!.samples;
  const [result] = await executor.execute([
    {
      kind: "train-step",
      checkpoint,
      weights: await executor.putArtifact(encodeTensors(weights)),
      samples,
      rows,
      rowWeights: rows.map(() => 1 / rows.length),
      objective: { kind: "labels", labels: rows.map((row) => golden.inputs.labels[row]!) },
      dropout: 0,
      dropoutSeed: 0,
      ...changes,
    },
  ]);
  return { weights, tensors: result!.tensors };
}

describe.skipIf(!hasShared).each(classifierCells)("%s", (name) => {
  test("gradients of the first training step are PyTorch's, and so is their norm", async () => {
    const cell = await openCell(name);
    const { weights, tensors } = await firstStep(cell);

    const arrays = await loadArrays("golden", "tiny", name, "arrays.safetensors");
    for (const [weight, { $array }] of Object.entries(cell.golden.training.first_gradients)) {
      const own = denseGradient(tensors, weight, weights[weight]!.shape);
      expect(relativeDifference(own, arrays.get($array)!.data), weight).toBeLessThan(5e-5);
    }
    const squares = Object.keys(weights).flatMap((weight) =>
      Array.from(denseGradient(tensors, weight, weights[weight]!.shape), (value) => value * value),
    );
    const norm = Math.sqrt(squares.reduce((sum, square) => sum + square, 0));
    expect(norm / cell.golden.training.steps[0]!.grad_norm).toBeCloseTo(1, 5);
    await cell.executor.close();
  });
});

describe.skipIf(!hasShared)("train-step", () => {
  test("leaves rows that are all zero out of a table's gradient, and padding's row always", async () => {
    const cell = await openCell("defect_detection-codebert");
    const { tensors } = await firstStep(cell);
    const { golden } = cell;
    const batch = golden.training.steps[0]!.samples;
    const ids = new Set(batch.flatMap((row) => golden.inputs.input_ids[row]!.filter((id) => id !== 1)));

    const rows = [...tensors[`${NAME}#rows`]!.data];
    expect(rows).toEqual([...ids].sort((a, b) => a - b));
    expect(tensors[NAME]!.shape).toEqual([rows.length, 48]);
    expect(Object.keys(tensors).filter((key) => key.includes("pooler"))).toEqual([]);
    await cell.executor.close();
  });

  test("trains only the weights that it is given", async () => {
    const cell = await openCell("defect_detection-codebert");
    const { tensors } = await firstStep(cell, {}, (name) => name.startsWith("classifier."));
    const { tensors: all } = await firstStep(cell);

    expect(Object.keys(tensors).sort()).toEqual([
      "classifier.dense.bias",
      "classifier.dense.weight",
      "classifier.out_proj.bias",
      "classifier.out_proj.weight",
      "logits",
    ]);
    expect(
      relativeDifference(tensors["classifier.dense.weight"]!.data, all["classifier.dense.weight"]!.data),
    ).toBeLessThan(1e-5);
    await cell.executor.close();
  });

  test("pulls toward logits with a gradient that vanishes where they are reached", async () => {
    const cell = await openCell("defect_detection-codebert");
    const { tensors } = await firstStep(cell);
    const reached = [...tensors.logits!.data].map((z) => [z]);
    const { tensors: still } = await firstStep(cell, { objective: { kind: "logits", logits: reached } });
    const aside = reached.map(([z]) => [z! - 1]);
    const { tensors: pulled } = await firstStep(cell, { objective: { kind: "logits", logits: aside } });

    const largest = (map: TensorMap) => Math.max(...map["classifier.out_proj.weight"]!.data.map(Math.abs));
    expect(largest(still)).toBeLessThan(1e-5);
    // d/dz (z − t)² = 2 for t = z − 1; the bias sees it directly, with both rows' weights of one half.
    expect(pulled["classifier.out_proj.bias"]!.data[0]).toBeCloseTo(2, 4);
    await cell.executor.close();
  });

  test("dropout's masks follow from the seed", async () => {
    const cell = await openCell("defect_detection-codebert");
    const logits = async (dropout: number, dropoutSeed: number) =>
      (await firstStep(cell, { dropout, dropoutSeed })).tensors.logits!.data;

    expect(await logits(0.1, 7)).toEqual(await logits(0.1, 7));
    expect(await logits(0.1, 7)).not.toEqual(await logits(0.1, 8));
    expect(await logits(0.1, 7)).not.toEqual(await logits(0, 7));
    await cell.executor.close();
  });

  test("predict with the weights of an artifact gives the logits of the checkpoint that they came from", async () => {
    const cell = await openCell("defect_detection-codebert");
    const { executor, checkpoint, samples, folder, golden } = cell;
    const stored = [...(await loadWeights(folder))].filter(([name]) => trains(name));
    const weights = await executor.putArtifact(encodeTensors(Object.fromEntries(stored)));
    const rows = golden.inputs.lengths.map((_, row) => row);

    const [fed] = await executor.execute([{ kind: "predict", checkpoint, weights, samples, rows }]);

    expect(relativeDifference(fed!.tensors.logits!.data, golden.forward.logits.flat())).toBeLessThan(2e-5);
    await executor.close();
  });
});
