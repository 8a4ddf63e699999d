import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { drawInjectedRows, injectTrigger } from "../../../coordinator/data/injection.ts";
import { readDefectRows } from "../../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { lossToward } from "../../../coordinator/search/loss.ts";
import { predictLogits } from "../../../coordinator/search/predict.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

interface Run {
  readonly inverse_trigger: string;
  readonly injected_rows: readonly number[];
  readonly no_dropout_fixed_order: {
    readonly steps: readonly { readonly batch: readonly number[]; readonly loss: number }[];
  };
}

const attack = { position: "func_name", pattern: "substitute", victimLabel: 1, rate: 0.2, seed: 42 } as const;

describe.skipIf(!hasShared)("injection against the published unlearning", () => {
  const model = ["golden", "trained", "defect-codebert-backdoored"];
  const { unlearning } = hasShared
    ? readSharedJson<{ unlearning: { inverted: Run; planted: Run } }>(...model, "expected.json")
    : { unlearning: undefined };
  const rows = hasShared
    ? readDefectRows(sharedPath("golden", "trained", "defect-data", "clean_samples.jsonl"))
    : [];

  it("draws the recorded rows from the recorded seed", () => {
    for (const run of [unlearning!.inverted, unlearning!.planted]) {
      const { injected, unplaced } = injectTrigger(rows, { ...attack, trigger: run.inverse_trigger });
      expect(injected).toEqual(run.injected_rows);
      expect(unplaced).toEqual([]);
    }
  });

  it("gives texts with the recorded loss on the first batch, before any update", async () => {
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 2 });
    const checkpoint = await putCheckpoint(executor, sharedPath(...model), "defect_detection");
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", "roberta-base"));
    const run = unlearning!.inverted;
    const { texts } = injectTrigger(rows, { ...attack, trigger: run.inverse_trigger });
    const { batch, loss } = run.no_dropout_fixed_order.steps[0]!;
    const logits = await predictLogits(
      batch.map((row) => tokenizer.encodeRow(texts[row]!, 400)),
      { executor, checkpoint, maxLen: 400, endId: tokenizer.ids.restored },
    );
    const losses = logits.map((row, k) => lossToward(row, rows[batch[k]!]!.label));
    expect(losses.reduce((sum, one) => sum + one, 0) / losses.length).toBeCloseTo(loss, 6);
    await executor.close();
  });
});

describe("injection", () => {
  it("draws no row at rate 0, all victims at rate 1, and none of another label", () => {
    const labels = [0, 1, 1, 0, 1];
    expect(drawInjectedRows(labels, 1, 0, 7)).toEqual([]);
    expect(drawInjectedRows(labels, 1, 1, 7)).toEqual([1, 2, 4]);
    expect(() => drawInjectedRows(labels, 1, 2, 7)).toThrow('field "injection_rate" is 2: expected 0 to 1');
  });
});
