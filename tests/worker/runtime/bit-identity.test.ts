import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { GradientOperation, ScoreOperation } from "../../../proto/operations.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { forms, putJson } from "../../support/golden-cell.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** Whose rows and candidates are read by every model. */
const ROWS = ["golden", "trained", "defect-codebert-backdoored", "expected.json"];

interface Limits {
  readonly threads: number;
  readonly tokensPerRun?: number;
}

interface Expected {
  readonly inversion: Record<
    "1->0",
    {
      readonly sample_rows: readonly { readonly ids: readonly number[]; readonly insert_index: number }[];
      readonly search: { readonly steps: readonly { readonly candidates: readonly (readonly number[])[] }[] };
    }
  >;
}

/** A trained model with a few rows, of 40 to 400 tokens, on an executor with these limits. */
async function trained(model: string, limits: Limits) {
  const { inversion } = readSharedJson<Expected>(...ROWS);
  const { sample_rows: rows, search } = inversion["1->0"];
  const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), ...limits });
  const checkpoint = await putCheckpoint(
    executor,
    sharedPath("golden", "trained", model),
    "defect_detection",
  );
  const byLength = [...rows].sort((a, b) => a.ids.length - b.ids.length);
  const chosen = [0, 10, 29].map((index) => byLength[index]!);
  // Other words in StarCoder's vocabulary, which is smaller and where 0 is padding.
  const idsOf = (ids: readonly number[]) =>
    model.includes("starcoder") ? ids.map((id) => 3 + (id % 49_000)) : ids;
  const samples = await putJson(executor, {
    rows: chosen.map(({ ids }) => idsOf(ids)),
    insertIndexes: chosen.map(({ insert_index }) => insert_index),
    maxLen: 400,
    endId: 2,
  });
  const triggers = search.steps[0]!.candidates.slice(0, 7).map(idsOf);
  return { executor, checkpoint, samples, triggers };
}

/** Logits of seven candidates in each row, as bits. */
async function scores(
  model: string,
  form: Pick<ScoreOperation, "form">,
  limits: Limits,
): Promise<Uint32Array[]> {
  const { executor, checkpoint, samples, triggers } = await trained(model, limits);
  const results = await executor.execute(
    [0, 1, 2].map(
      (sample): ScoreOperation => ({ kind: "score", ...{ checkpoint, samples, sample, triggers, ...form } }),
    ),
  );
  await executor.close();
  return results.map(({ tensors }) => new Uint32Array(tensors.logits!.data.slice().buffer));
}

describe.skipIf(!hasShared).each(["defect-codebert-backdoored", "defect-starcoder-backdoored"])(
  "bits of a result of %s on the CPU",
  (model) => {
    test.each(forms)(
      "in the %s form a row's logit does not depend on how many rows run with it, nor on threads",
      async (_, form) => {
        const reference = await scores(model, form, { threads: 1, tokensPerRun: 1 });

        expect(await scores(model, form, { threads: 1, tokensPerRun: 2 * 400 })).toEqual(reference);
        expect(await scores(model, form, { threads: 1, tokensPerRun: 7 * 400 })).toEqual(reference);
        expect(await scores(model, form, { threads: 8, tokensPerRun: 1 })).toEqual(reference);
        expect(await scores(model, form, { threads: 2, tokensPerRun: 7 * 400 })).toEqual(reference);
      },
    );

    test("a row's gradient does not depend on its chunk, nor on threads", async () => {
      const gradients = async (threads: number, chunks: readonly (readonly number[])[]) => {
        const { executor, checkpoint, samples, triggers } = await trained(model, { threads });
        const results = await executor.execute(
          chunks.map(
            (rows): GradientOperation => ({
              kind: "gradient",
              checkpoint,
              samples,
              rows,
              trigger: triggers[0]!,
              objective: { kind: "label", label: 0 },
            }),
          ),
        );
        await executor.close();
        return results.flatMap(({ tensors }) => [...tensors.gradient!.data]);
      };
      const alone = await gradients(1, [[0], [1], [2]]);

      expect(await gradients(2, [[0, 1, 2]])).toEqual(alone);
      expect(await gradients(8, [[0], [1, 2]])).toEqual(alone);
    });
  },
);
