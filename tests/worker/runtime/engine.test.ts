import { existsSync, readdirSync, statSync } from "node:fs";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { canonicalJson } from "../../../proto/canonical-json.ts";
import { OperationFailed } from "../../../proto/operation-failed.ts";
import type { Operation, SampleSet } from "../../../proto/operations.ts";
import { encodeTensors } from "../../../proto/tensors.ts";
import { runtimeVersion } from "../../../worker/program-version.ts";
import { Engine } from "../../../worker/runtime/engine.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { type OpenCell, openCell, putJson } from "../../support/golden-cell.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const CELL = "defect_detection-codebert";
const clean: SampleSet = { rows: [[0, 5, 6, 2]], insertIndexes: [1], maxLen: 64, endId: 2 };

/** Runs an operation that is built from a cell; the cell is closed however it ends. */
async function attempt(build: (cell: OpenCell) => Promise<Operation>): Promise<unknown> {
  const cell = await openCell(CELL);
  try {
    const [result] = await cell.executor.execute([await build(cell)]);
    return result;
  } finally {
    await cell.executor.close();
  }
}

const predicting =
  (samples: object) =>
  async (cell: OpenCell): Promise<Operation> => ({
    kind: "predict",
    checkpoint: cell.checkpoint,
    samples: await putJson(cell.executor, samples),
    rows: [0],
  });

describe.skipIf(!hasShared)("operations that cannot be done", () => {
  test.each([
    [{ ...clean, rows: [[0, 439, 2]] }, "row 0, column 1: id 439 is not below vocab_size 439"],
    [{ ...clean, rows: [[0, 1, 2]] }, "row 0, column 1: id 1 is padding, and rows have none"],
    [{ ...clean, rows: [Array(513).fill(5)], maxLen: 600 }, "row 0 has 513 tokens, the model reads 1 to 512"],
    [{ ...clean, rows: [], insertIndexes: [] }, "row 0 is not in a sample set of 0 rows"],
    [{ ...clean, rows: [Array(65).fill(5)] }, "a row is longer than maxLen"],
    [{ ...clean, rows: [[0.5]] }, /rows\.0\.0: .*int/],
    [{ ...clean, extra: 1 }, /sample set [0-9a-f]{64}: content: Unrecognized key/],
  ])("samples %#", async (samples, message) => {
    const failure = attempt(predicting(samples));

    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toMatchObject({ name: "OperationFailed", retryable: false });
  });

  test.each([
    [{ kind: "score", sample: 0, triggers: [] }, "score: no triggers"],
    [{ kind: "score", sample: 0, triggers: [[5], [5, 6]] }, "triggers of 1 and of 2 tokens in one tile"],
    [{ kind: "score", sample: 0, triggers: [[500]] }, "id 500 is not below vocab_size 439"],
    [{ kind: "score", sample: 7, triggers: [[5]] }, "row 7 is not in a sample set of 6 rows"],
    [
      { kind: "gradient", rows: [0], trigger: [], objective: { kind: "label", label: 1 } },
      "gradient: the trigger has no tokens",
    ],
    [
      { kind: "gradient", rows: [0], trigger: [5], objective: { kind: "label", label: 2 } },
      "gradient: label 2 is not below 2 labels",
    ],
  ])("%j", async (operation, message) => {
    const failure = attempt(
      async ({ checkpoint, samples }) => ({ checkpoint, samples, ...operation }) as unknown as Operation,
    );

    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toBeInstanceOf(OperationFailed);
  });

  test.each([
    [{ ids: [3, 5] }, 3, "rank: topk 3 of a vocabulary of 2 ids"],
    [{ ids: [3, 439] }, 1, "rank: vocabulary id 439 is not below 439"],
    [{ ids: [5, 3] }, 1, "ids do not ascend"],
  ])("rank over %j", async (vocabulary, topk, message) => {
    const failure = attempt(async ({ checkpoint, executor }) => ({
      kind: "rank",
      checkpoint,
      vocabulary: await putJson(executor, vocabulary),
      gradient: [new Float32Array(48)],
      topk,
    }));

    await expect(failure).rejects.toThrow(message);
  });

  test("weights of another model are refused by name and shape", async () => {
    const name = "classifier.out_proj.weight";
    const failure = attempt(async (cell) => ({
      ...((await predicting(clean)(cell)) as Extract<Operation, { kind: "predict" }>),
      weights: await cell.executor.putArtifact(
        encodeTensors({ [name]: { shape: [2, 48], data: new Float32Array(96) } }),
      ),
    }));

    await expect(failure).rejects.toThrow(`weights: '${name}' is float32 [2, 48], expected float32 [1, 48]`);
  });

  test("a weight that is not finite shows in the result and fails the operation", async () => {
    const failure = attempt(async (cell) => ({
      ...((await predicting(clean)(cell)) as Extract<Operation, { kind: "predict" }>),
      weights: await cell.executor.putArtifact(
        encodeTensors({ "classifier.out_proj.bias": { shape: [1], data: Float32Array.of(Number.NaN) } }),
      ),
    }));

    await expect(failure).rejects.toThrow("logits[0] is NaN: a weight of the checkpoint is not finite");
  });
});

describe.skipIf(!hasShared)("the engine", () => {
  test("goes on after an operation that failed", async () => {
    const { executor, checkpoint, samples } = await openCell(CELL);
    const bad: Operation = { kind: "predict", checkpoint, samples, rows: [99] };
    const good: Operation = { kind: "predict", checkpoint, samples, rows: [0] };

    await expect(executor.execute([bad])).rejects.toThrow("row 99");
    expect((await executor.execute([good]))[0]!.forwards).toBe(1);
    await executor.close();
  });

  test("does operations that are asked for at once one after the other, with the results of each", async () => {
    const { executor, checkpoint, samples } = await openCell(CELL);
    const of = (row: number): Operation => ({ kind: "predict", checkpoint, samples, rows: [row] });

    const together = await Promise.all([0, 1, 2].map((row) => executor.execute([of(row)])));
    const alone = await executor.execute([of(0), of(1), of(2)]);

    expect(together.map(([result]) => result!.tensors)).toEqual(alone.map(({ tensors }) => tensors));
    await executor.close();
  });

  test("keeps few programs and checkpoints, and gives their folders back", async () => {
    const folder = join(tempFolder(), "executor");
    const executor = await createLocalExecutor({ folder, threads: 1, maxModels: 1, maxPrograms: 0 });
    const samples = await putJson(executor, clean);
    const logits = [];
    for (const cell of [CELL, "defect_detection-unixcoder", CELL]) {
      const checkpoint = await putCheckpoint(
        executor,
        sharedPath("golden", "tiny", cell),
        "defect_detection",
      );
      const [predicted] = await executor.execute([
        { kind: "predict", checkpoint, samples, rows: [0] },
        {
          kind: "gradient",
          checkpoint,
          samples,
          rows: [0],
          trigger: [7],
          objective: { kind: "label", label: 1 },
        },
      ]);
      expect(readdirSync(join(folder, "programs"))).toEqual([checkpoint]);
      logits.push(predicted!.tensors.logits!.data[0]);
    }

    expect(logits[0]).toBe(logits[2]);
    expect(logits[0]).not.toBe(logits[1]);
    await executor.close();
    expect(readdirSync(join(folder, "programs"))).toEqual([]);
  });

  test("does not copy weights: files beside the program are links to the artifacts", async () => {
    const folder = join(tempFolder(), "executor");
    const executor = await createLocalExecutor({ folder, threads: 1 });
    const checkpoint = await putCheckpoint(executor, sharedPath("golden", "tiny", CELL), "defect_detection");
    const samples = await putJson(executor, clean);
    await executor.execute([{ kind: "predict", checkpoint, samples, rows: [0] }]);

    const weights = statSync(join(folder, "programs", checkpoint, "model.bin"));
    const programs = readdirSync(join(folder, "programs", checkpoint)).filter((name) =>
      name.endsWith(".onnx"),
    );
    expect(
      readdirSync(join(folder, "artifacts")).map((name) => statSync(join(folder, "artifacts", name)).ino),
    ).toContain(weights.ino);
    expect(statSync(join(folder, "programs", checkpoint, programs[0]!)).size).toBeLessThan(weights.size / 5);
    await executor.close();
  });

  test("names the device that computes", async () => {
    const engine = new Engine({
      threads: 1,
      programFolder: tempFolder(),
      resultFolder: tempFolder(),
      resolveArtifact: async (digest) => digest,
    });

    expect(engine.deviceClass).toMatchObject({ provider: "cpu", runtimeVersion });
    expect(engine.deviceClass.hardware).toContain(process.arch);
  });

  test("a checkpoint of another architecture is refused by name, and its folder is gone", async () => {
    const folder = tempFolder();
    const model = join(folder, "model");
    await mkdir(model);
    await cp(sharedPath("golden", "tiny", CELL, "model.bin"), join(model, "model.bin"));
    await writeFile(join(model, "config.json"), canonicalJson({ model_type: "bert" }));
    const executor = await createLocalExecutor({ folder: join(folder, "executor"), threads: 1 });
    const checkpoint = await putCheckpoint(executor, model, "defect_detection");
    const samples = await putJson(executor, clean);

    const failure = executor.execute([{ kind: "predict", checkpoint, samples, rows: [0] }]);

    await expect(failure).rejects.toThrow("config.json: model_type: 'bert' is not supported yet");
    expect(existsSync(join(folder, "executor", "programs", checkpoint))).toBe(false);
    await executor.close();
  });
});
