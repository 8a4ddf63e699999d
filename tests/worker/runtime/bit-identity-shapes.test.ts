import { join } from "node:path";
import { expect, test } from "vitest";
import type { ScoreOperation } from "../../../proto/operations.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { forms, putJson } from "../../support/golden-cell.ts";
import { writeDrawnModel } from "../../support/random-architecture.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { uniform } from "../../support/uniform.ts";

/** Wide enough that onnxruntime splits every product among threads; two layers, so that one is for the answering token alone. */
const gptBigCode = {
  model_type: "gpt_bigcode",
  n_embd: 256,
  n_layer: 2,
  n_head: 4,
  n_positions: 400,
  vocab_size: 500,
  pad_token_id: 0,
  multi_query: true,
};

/** More than the 256 terms that onnxruntime adds up in one block. */
const TOKENS = 330;

test.each(forms)(
  "in the %s form a long row's logit by heads of 64 numbers does not depend on rows beside it, nor on threads",
  async (_, form) => {
    const folder = join(tempFolder(), "model");
    await writeDrawnModel(folder, { json: gptBigCode, task: "defect_detection", dtype: "float32", seed: 3 });
    const draw = uniform(5);
    const words = (count: number) => Array.from({ length: count }, () => 1 + Math.floor(draw() * 499));
    const set = { rows: [words(TOKENS)], insertIndexes: [45], maxLen: 400, endId: 0 };
    const triggers = Array.from({ length: 5 }, () => words(4));
    const logits = async (threads: number, rowsPerRun: number) => {
      const tokensPerRun = rowsPerRun * 400;
      const executor = await createLocalExecutor({
        folder: join(tempFolder(), "run"),
        threads,
        tokensPerRun,
      });
      const checkpoint = await putCheckpoint(executor, folder, "defect_detection");
      const samples = await putJson(executor, set);
      const score: ScoreOperation = { kind: "score", checkpoint, samples, sample: 0, triggers, ...form };
      const [result] = await executor.execute([score]);
      await executor.close();
      return [...result!.tensors.logits!.data];
    };
    const reference = await logits(1, 5);

    expect(new Set(reference).size).toBe(5);
    expect(await logits(1, 1)).toEqual(reference);
    expect(await logits(2, 1)).toEqual(reference);
    expect(await logits(5, 2)).toEqual(reference);
  },
);
