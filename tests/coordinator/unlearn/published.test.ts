import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readDefectRows } from "../../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { unlearnPublished } from "../../../coordinator/unlearn/published.ts";
import { PublishedPlan } from "../../../coordinator/unlearn/settings.ts";
import { injectedRows } from "../../../coordinator/unlearn/training-rows.ts";
import { classifierHead } from "../../../worker/models/head.ts";
import { createLocalExecutor, type LocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { loadArrays, loadWeights, relativeDifference } from "../../support/golden.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";

interface Run {
  readonly inverse_trigger: string;
  readonly injected_rows: readonly number[];
  readonly no_dropout_fixed_order: {
    readonly weights: string;
    readonly steps: readonly {
      batch: number[];
      learning_rate: number;
      loss: number;
      gradient_norm: number;
    }[];
  };
}

const home = sharedPath("golden", "trained", "defect-codebert-backdoored");

describe.skipIf(!hasShared)("the published plan on the trained backdoored model", () => {
  let folder: string;
  let executor: LocalExecutor;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "elibad-published-"));
    executor = await createLocalExecutor({ folder, threads: 2 });
  });
  afterAll(async () => {
    await executor.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each(["inverted", "planted"])(
    "in the recorded order gives the recorded head (%s trigger)",
    async (which) => {
      const recorded = readSharedJson<{ unlearning: Record<string, Run> }>(
        "golden",
        "trained",
        "defect-codebert-backdoored",
        "expected.json",
      ).unlearning[which]!;
      const rows = readDefectRows(sharedPath("golden", "trained", "defect-data", "clean_samples.jsonl"));
      const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", "roberta-base"));
      const checkpoint = await putCheckpoint(executor, home, "defect_detection");
      const injection = {
        inject: "text",
        trigger: { ids: [], text: recorded.inverse_trigger },
        attackPosition: "func_name",
        attackPattern: "substitute",
        victimLabel: 1,
        targetLabel: 0,
        rate: 0.2,
        seed: 42,
      } as const;
      const prepared = await injectedRows(rows, injection, tokenizer, {
        executor,
        checkpoint,
        maxLen: 400,
        endId: tokenizer.ids.restored,
      });
      expect(prepared.injected).toEqual(recorded.injected_rows);

      const { steps } = recorded.no_dropout_fixed_order;
      const weights = await loadWeights(home);
      const target = { executor, checkpoint, weights, head: classifierHead };
      const batches = steps.map(({ batch }) => batch);
      const done = await unlearnPublished(target, prepared, PublishedPlan.parse({}), batches);
      for (const [k, step] of steps.entries()) {
        expect(done.steps[k]!.learningRate).toBeCloseTo(step.learning_rate, 9);
        expect(Math.abs(done.steps[k]!.loss / step.loss - 1)).toBeLessThan(5e-5);
        expect(Math.abs(done.steps[k]!.gradNorm / step.gradient_norm - 1)).toBeLessThan(5e-5);
      }
      const expected = await loadArrays(
        "golden",
        "trained",
        "defect-codebert-backdoored",
        recorded.no_dropout_fixed_order.weights,
      );
      expect([...done.weights.keys()].sort()).toEqual([...expected.keys()].sort());
      for (const [name, { data }] of expected) {
        expect(relativeDifference(done.weights.get(name)!, data), name).toBeLessThan(2e-5);
      }
    },
  );
});
