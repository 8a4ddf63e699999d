import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { digestOf } from "../../../proto/canonical-json.ts";
import type { OperationResult, Tensor, TrainRunOperation } from "../../../proto/operations.ts";
import { decodeTensors, encodeTensors } from "../../../proto/tensors.ts";
import { writeTensors } from "../../../worker/runtime/written-artifact.ts";
import { ADAMW_DEFAULTS } from "../../../worker/training/adamw.ts";
import { loadWeights } from "../../support/golden.ts";
import { type OpenCell, openCell } from "../../support/golden-cell.ts";
import { trains } from "../../support/gradients.ts";
import { hasShared } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const NAME = "classifier.dense.weight";

test("a file of tensors has the bytes of their container, and its digest", async () => {
  const tensors = {
    a: { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    none: { shape: [0], data: new Float32Array() },
    b: { shape: [2], data: Float64Array.of(-0.5, 1e300) },
  };
  const { path, digest, bytes } = await writeTensors("weights", tensors, tempFolder());
  const whole = encodeTensors(tensors);
  expect(await readFile(path)).toEqual(Buffer.from(whole));
  expect({ digest, bytes }).toEqual({ digest: digestOf(whole), bytes: whole.byteLength });
});

describe.skipIf(!hasShared)("train-run", () => {
  let cell: OpenCell;
  let stored: Record<string, Tensor>;
  beforeEach(async () => {
    cell = await openCell("defect_detection-codebert");
    stored = Object.fromEntries([...(await loadWeights(cell.folder))].filter(([name]) => trains(name)));
  });
  afterEach(() => cell.executor.close());

  const put = (tensors: Readonly<Record<string, Tensor>>) =>
    cell.executor.putArtifact(encodeTensors(tensors));

  const step = (changes: object = {}): TrainRunOperation["steps"][number] => ({
    kind: "rows",
    learningRate: 1e-3,
    microBatches: [
      {
        ...{ rows: [0, 1], rowWeights: [0.5, 0.5], dropoutSeed: 0 },
        objective: { kind: "labels", labels: [0, 1] },
        ...changes,
      },
    ],
  });

  async function run(changes: Partial<TrainRunOperation> = {}): Promise<OperationResult> {
    const { checkpoint, samples, executor } = cell;
    const state = changes.state ?? { weights: await put(stored), steps: 0 };
    const [result] = await executor.execute([
      {
        kind: "train-run",
        ...{ checkpoint, samples, optimiser: ADAMW_DEFAULTS, maxGradNorm: 1, dropout: 0 },
        steps: [step()],
        ...changes,
        state,
      },
    ]);
    return result!;
  }

  test("gives a loss and a norm of each step, and a state of the same tensors", async () => {
    const { tensors, artifacts, forwards } = await run({ steps: [step(), step()] });
    expect(tensors.losses!.data).toHaveLength(2);
    expect(tensors.norms!.data).toHaveLength(2);
    expect(tensors.losses!.data[1]).toBeLessThan(tensors.losses!.data[0]!);
    expect(forwards).toBe(4);
    expect(Object.keys(artifacts!)).toEqual(["weights", "means", "squares"]);
    for (const digest of Object.values(artifacts!)) {
      const part = decodeTensors(await cell.executor.readArtifact(digest));
      expect(Object.entries(part).map(([name, { shape }]) => [name, shape])).toEqual(
        Object.entries(stored).map(([name, { shape }]) => [name, shape]),
      );
    }
  });

  test("trains what the state holds, and leaves the rest as the checkpoint has it", async () => {
    const weights = await put({ [NAME]: stored[NAME]! });
    const { artifacts } = await run({ state: { weights, steps: 0 } });
    expect(Object.keys(decodeTensors(await cell.executor.readArtifact(artifacts!.weights!)))).toEqual([NAME]);
  });

  test("a state of another model, or of other shapes, is refused by the tensor's name", async () => {
    const other = await put({ "encoder.block.0.weight": { shape: [1], data: new Float32Array(1) } });
    await expect(run({ state: { weights: other, steps: 0 } })).rejects.toThrow(
      "weights: the model has no weight 'encoder.block.0.weight'",
    );
    const narrow = await put({ ...stored, [NAME]: { shape: [48], data: new Float32Array(48) } });
    await expect(run({ state: { weights: narrow, steps: 0 } })).rejects.toThrow(
      `weights: '${NAME}' is float32 [48], expected float32 [48, 48]`,
    );
    await expect(run({ state: { weights: await put({}), steps: 0 } })).rejects.toThrow("no weights to train");
  });

  test("moments that are not those of the weights are refused", async () => {
    const weights = await put(stored);
    const { [NAME]: _left, ...rest } = stored;
    const [means, squares] = [await put(rest), weights];
    await expect(run({ state: { weights, moments: { means, squares }, steps: 1 } })).rejects.toThrow(
      `train-run: means of '${NAME}' are missing, expected float32 [48, 48]`,
    );
    await expect(run({ state: { weights, steps: 1 } })).rejects.toThrow(
      "a state after 1 steps has no moments",
    );
  });

  test("a state that is not there cannot be gone on from", async () => {
    await expect(run({ state: { weights: "a".repeat(64), steps: 0 } })).rejects.toThrow("ENOENT");
    const weights = await put(stored);
    await cell.executor.releaseArtifact(weights);
    await expect(run({ state: { weights, steps: 0 } })).rejects.toThrow("ENOENT");
  });

  test.each<[string, () => Partial<TrainRunOperation>]>([
    ["train-run: no steps", () => ({ steps: [] })],
    ["train-run: maxGradNorm 0 is not above 0", () => ({ maxGradNorm: 0 })],
    [
      "train-run: step 1: label 2 is not below 2",
      () => ({
        steps: [step(), step({ objective: { kind: "labels", labels: [0, 2] } })],
      }),
    ],
    ["row 99 is not in a sample set", () => ({ steps: [step({ rows: [0, 99] })] })],
    [
      "train-run: step 0: a loss of vectors for a model for defect_detection",
      () => ({
        steps: [
          {
            ...{ kind: "vectors", learningRate: 1, loss: { kind: "contrastive" } },
            microBatches: [{ rows: [0, 1], places: [0, 1] }],
          },
        ],
      }),
    ],
    ["is not finite after the last step", () => ({ steps: [{ ...step(), learningRate: 1e39 }] })],
    ["is not finite", () => ({ steps: [{ ...step(), learningRate: 1e38 }, step(), step()] })],
  ])("%s", async (reason, changes) => {
    await expect(run(changes())).rejects.toThrow(reason);
  });
});

describe.skipIf(!hasShared)("train-run of code search", () => {
  test.each<[string, readonly number[], number]>([
    ["2 rows do not stand in 2 places of one batch", [0, 0], 2],
    ["2 rows do not stand in 2 places of one batch", [0, 2], 2],
    ["1 rows are not codes and their queries", [0], 1],
  ])("%s", async (reason, places, count) => {
    const { executor, checkpoint, samples, folder } = await openCell("code_search-codebert");
    const stored = Object.fromEntries([...(await loadWeights(folder))].filter(([name]) => trains(name)));
    const weights = await executor.putArtifact(encodeTensors(stored));
    const rows = Array.from({ length: count }, (_, row) => row);
    const operation: TrainRunOperation = {
      kind: "train-run",
      ...{ checkpoint, samples, optimiser: ADAMW_DEFAULTS, maxGradNorm: 1, dropout: 0 },
      state: { weights, steps: 0 },
      steps: [
        { kind: "vectors", learningRate: 1, loss: { kind: "contrastive" }, microBatches: [{ rows, places }] },
      ],
    };
    await expect(executor.execute([operation])).rejects.toThrow(reason);
    await executor.close();
  });
});
