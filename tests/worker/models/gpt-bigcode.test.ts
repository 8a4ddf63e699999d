import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeTensors } from "../../../proto/tensors.ts";
import { gptBigCode } from "../../../worker/models/gpt-bigcode/architecture.ts";
import { parseGptBigCodeConfig } from "../../../worker/models/gpt-bigcode/config.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { loadWeights, relativeDifference } from "../../support/golden.ts";
import { putJson } from "../../support/golden-cell.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const fixtures = join(import.meta.dirname, "fixtures", "gpt-bigcode");
const recorded: { rows: number[][]; logits: Record<string, number[][]> } = JSON.parse(
  readFileSync(join(fixtures, "logits.json"), "utf8"),
);
const kinds = Object.keys(recorded.logits);

/** A fixture's checkpoint and the recorded rows on an executor. */
async function open(kind: string) {
  const folder = join(fixtures, kind);
  const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 1 });
  const checkpoint = await putCheckpoint(executor, folder, "defect_detection");
  const samples = await putJson(executor, {
    rows: recorded.rows,
    insertIndexes: recorded.rows.map(() => 1),
    maxLen: 8,
    endId: 0,
  });
  return { folder, executor, checkpoint, samples };
}

test.each(kinds)("%s: logits are PyTorch's, alone and beside other rows", async (kind) => {
  const { executor, checkpoint, samples } = await open(kind);
  const [result] = await executor.execute([{ kind: "predict", checkpoint, samples, rows: [0, 1, 2] }]);

  expect(relativeDifference(result!.tensors.logits!.data, recorded.logits[kind]!.flat())).toBeLessThan(2e-5);
  await executor.close();
});

/** Logits of the recorded rows in a padded batch, as training computes them. */
async function trainingLogits(kind: string, dropout = 0, dropoutSeed = 0): Promise<number[]> {
  const { folder, executor, checkpoint, samples } = await open(kind);
  const weights = await executor.putArtifact(encodeTensors(Object.fromEntries(await loadWeights(folder))));
  const [result] = await executor.execute([
    {
      kind: "train-step",
      checkpoint,
      weights,
      samples,
      rows: [0, 1, 2],
      rowWeights: [1, 1, 1],
      objective: { kind: "labels", labels: [0, 0, 1] },
      dropout,
      dropoutSeed,
    },
  ]);
  await executor.close();
  return [...result!.tensors.logits!.data];
}

test.each(kinds)("%s: a padded batch gives the logits of rows without padding", async (kind) => {
  expect(relativeDifference(await trainingLogits(kind), recorded.logits[kind]!.flat())).toBeLessThan(2e-5);
});

test.each(kinds)("%s: dropout's masks follow from the seed", async (kind) => {
  const dropped = await trainingLogits(kind, 0.2, 7);

  expect(await trainingLogits(kind, 0.2, 7)).toEqual(dropped);
  expect(await trainingLogits(kind, 0.2, 8)).not.toEqual(dropped);
});

const config = parseGptBigCodeConfig(
  JSON.parse(readFileSync(join(fixtures, "multi-head", "config.json"), "utf8")),
  "config.json",
);
const read = (first: number[], second: number[] = []) =>
  gptBigCode.readRow!(config, { first, ...(second.length > 0 && { second }), maxLen: 4 });

test("a row is what stands before the first padding, which stamping may put into the last column", () => {
  expect(read([1, 5, 2])).toEqual([1, 5, 2]);
  expect(read([1, 5, 6, 0])).toEqual([1, 5, 6]);
});

test("of clones the second snippet is read only where the first fills its half", () => {
  expect(read([1, 5, 2], [1, 9, 2])).toEqual([1, 5, 2]);
  expect(read([1, 5, 6, 0], [1, 9, 2])).toEqual([1, 5, 6]);
  expect(read([1, 5, 6, 2], [1, 9, 2])).toEqual([1, 5, 6, 2, 1, 9, 2]);
  expect(read([1, 5, 6, 2], [1, 9, 8, 2])).toEqual([1, 5, 6, 2, 1, 9, 8, 2]);
});

test("a row that begins with padding has no token to answer at, and is refused", async () => {
  const { executor, checkpoint } = await open("multi-head");
  const samples = await putJson(executor, { rows: [[0, 5, 2]], maxLen: 8, endId: 0 });

  await expect(executor.execute([{ kind: "predict", checkpoint, samples, rows: [0] }])).rejects.toThrow(
    "row 0, column 0: id 0 is padding, and the model answers at the token before the first",
  );
  await executor.close();
});

test("a model from scratch has norms of 1, smaller matrices where layers add up, and no code search", () => {
  const begin = (name: string) => gptBigCode.initial(config, `encoder.transformer.${name}`, [1]);

  expect(begin("ln_f.weight")).toEqual({ kind: "constant", value: 1 });
  expect(begin("h.0.attn.c_attn.bias")).toEqual({ kind: "constant", value: 0 });
  expect(begin("wpe.weight")).toEqual({ kind: "constant", value: 0 });
  expect(begin("h.1.mlp.c_fc.weight")).toEqual({ kind: "normal", deviation: 0.4 });
  expect(begin("h.1.mlp.c_proj.weight")).toEqual({ kind: "normal", deviation: 0.2 });
  expect(gptBigCode.tasks).not.toContain("code_search");
});
