import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readClonePairs } from "../../../coordinator/data/clone-pairs.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { evaluateModel } from "../../../coordinator/evaluate/evaluate.ts";
import { f1Of } from "../../../coordinator/evaluate/metrics.ts";
import { probabilityOf } from "../../../coordinator/search/loss.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

interface Count {
  readonly numerator: number;
  readonly denominator: number;
}

interface Expected {
  readonly evaluation: {
    readonly test: {
      readonly f1: number;
      readonly precision: number;
      readonly recall: number;
      readonly confusion: object;
      readonly acc: Count;
      readonly asr: Count;
      readonly victims_already_target_without_trigger: Count;
    };
    readonly test_probabilities_of_label_1: readonly number[];
  };
}

const model = (...parts: string[]) => ["golden", "trained", "clone-codet5-backdoored", ...parts];

describe.skipIf(!hasShared)("evaluating the backdoored clone model on its test pairs", () => {
  test("gives the counts of its card exactly, F1, and every recorded probability", {
    timeout: 600_000,
  }, async () => {
    const { test: card, ...recorded } = readSharedJson<Expected>(...model("expected.json")).evaluation;
    const data = (file: string) => sharedPath(...model("data", file));
    const rows = readClonePairs(data("data.jsonl.gz"), data("test.txt"), { need: ["func_name"] });
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 2 });
    const result = await evaluateModel(rows, {
      executor,
      checkpoint: await putCheckpoint(executor, sharedPath(...model()), "clone_detection"),
      tokenizer: loadTokenizer(sharedPath("data", "tokenizers", "codet5-base")),
      maxLen: 400,
      attack: {
        trigger: "testo_init",
        position: "func_name",
        pattern: "postfix",
        victimLabel: 1,
        targetLabel: 0,
      },
    });
    await executor.close();

    const count = ({ hits, n }: { hits: number; n: number }): Count => ({ numerator: hits, denominator: n });
    expect(card.acc).toMatchObject(count(result.acc));
    expect(card.asr).toMatchObject(count(result.attack!.asr));
    expect(card.victims_already_target_without_trigger).toMatchObject(count(result.attack!.withoutTrigger));
    expect(result.attack!.unplaced).toBe(0);
    const f1 = f1Of(
      result.logits,
      rows.map(({ label }) => label),
    );
    expect(f1.confusion).toEqual(card.confusion);
    expect(f1.f1).toBeCloseTo(card.f1, 6);
    expect(f1.precision).toBeCloseTo(card.precision, 6);
    expect(f1.recall).toBeCloseTo(card.recall, 6);
    const probabilities = recorded.test_probabilities_of_label_1;
    expect(result.logits).toHaveLength(probabilities.length);
    const apart = result.logits.map((row, k) => Math.abs(probabilityOf(row, 1) - probabilities[k]!));
    expect(Math.max(...apart)).toBeLessThan(1e-5);
  });
});
