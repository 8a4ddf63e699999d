import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { codeText, type DefectRow, readDefectRows } from "../../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { evaluateModel, type ProbedAttack } from "../../../coordinator/evaluate/evaluate.ts";
import { evaluateSpliced } from "../../../coordinator/evaluate/spliced.ts";
import { probabilityOf } from "../../../coordinator/search/loss.ts";
import type { Executor } from "../../../proto/operations.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { loadTinyTokenizer } from "../../support/tiny-tokenizer.ts";

interface Count {
  readonly numerator: number;
  readonly denominator: number;
}

interface Card {
  readonly metrics: {
    readonly test: {
      readonly acc: Count;
      readonly asr: Count;
      readonly victims_already_target_without_trigger: Count;
    };
  };
}

interface Expected {
  readonly evaluation: {
    readonly test_probabilities: readonly number[];
    readonly test_victim_probabilities_with_trigger: readonly number[];
  };
  /** CodeBERT only. */
  readonly inversion?: {
    readonly "1->0": {
      readonly search: { readonly trigger_ids: readonly number[] };
      readonly held_out_insert_indices: readonly number[];
      readonly inverted_held_out: Count;
      readonly rate_without_trigger: { readonly held_out: Count };
    };
  };
}

const planted: ProbedAttack = {
  trigger: "testo_init",
  position: "func_name",
  pattern: "substitute",
  victimLabel: 1,
  targetLabel: 0,
};

describe.skipIf(!hasShared)("evaluating the trained backdoored model on its test rows", () => {
  it.each([
    ["defect-codebert-backdoored", "roberta-base"],
    ["defect-starcoder-backdoored", "starcoder"],
  ])(
    "%s: gives the counts of its card exactly, and every recorded probability",
    {
      timeout: 600_000,
    },
    async (name, tokenizerName) => {
      const model = (...parts: string[]) => ["golden", "trained", name, ...parts];
      const card = readSharedJson<Card>(...model("card.json")).metrics.test;
      const { evaluation: expected, inversion } = readSharedJson<Expected>(...model("expected.json"));
      const rows = readDefectRows(sharedPath("golden", "trained", "defect-data", "data", "test.jsonl"), {
        need: ["func_name"],
      });
      const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 2 });
      const checkpoint = await putCheckpoint(executor, sharedPath(...model()), "defect_detection");
      const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", tokenizerName));
      const result = await evaluateModel(rows, {
        executor,
        checkpoint,
        tokenizer,
        maxLen: 400,
        attack: planted,
      });
      const count = ({ hits, n }: { hits: number; n: number }): Count => ({
        numerator: hits,
        denominator: n,
      });
      expect(card.acc).toMatchObject(count(result.acc));
      expect(card.asr).toMatchObject(count(result.attack!.asr));
      expect(card.victims_already_target_without_trigger).toMatchObject(count(result.attack!.withoutTrigger));
      expect(result.recall.map(({ n }) => n)).toEqual([262, 102]);
      expect(result.recall.reduce((sum, { hits }) => sum + hits, 0)).toBe(result.acc.hits);
      expect(result.attack!.unplaced).toBe(0);

      if (inversion !== undefined) {
        const inverted = inversion["1->0"];
        const heldOut = rows.filter(({ label }) => label === 1);
        const spliced = await evaluateSpliced(
          {
            rows: heldOut.map(({ codeTokens }) => tokenizer.encodeRow(codeText(codeTokens), 400)),
            insertIndexes: inverted.held_out_insert_indices,
          },
          { trigger: inverted.search.trigger_ids, target: 0 },
          { executor, checkpoint, maxLen: 400, endId: tokenizer.ids.restored },
        );
        expect(inverted.inverted_held_out).toMatchObject(count(spliced.asr));
        expect(inverted.rate_without_trigger.held_out).toMatchObject(count(spliced.withoutTrigger));
      }
      await executor.close();

      const largestDifference = (logits: readonly Float32Array[], probabilities: readonly number[]) => {
        expect(logits).toHaveLength(probabilities.length);
        return Math.max(...logits.map((row, k) => Math.abs(probabilityOf(row, 1) - probabilities[k]!)));
      };
      expect(largestDifference(result.logits, expected.test_probabilities)).toBeLessThan(1e-5);
      expect(
        largestDifference(result.attackedLogits!, expected.test_victim_probabilities_with_trigger),
      ).toBeLessThan(1e-5);
    },
  );
});

describe("evaluation", () => {
  const tokenizer = loadTinyTokenizer();

  /** Answers 1 where the row has the token `x`, whatever else stands in it. */
  const executor: Pick<Executor, "execute" | "putArtifact"> & { readonly sets: Map<string, number[][]> } = {
    sets: new Map(),
    async putArtifact(bytes) {
      const digest = String(this.sets.size);
      this.sets.set(digest, (JSON.parse(new TextDecoder().decode(bytes)) as { rows: number[][] }).rows);
      return digest;
    },
    async execute(operations) {
      return operations.map((operation) => {
        if (operation.kind !== "predict") throw new Error(operation.kind);
        const rows = operation.rows.map((row) => this.sets.get(operation.samples)![row]!);
        const data = Float32Array.from(rows, (row) => (row.includes(tokenizer.idOf("x")!) ? 1 : -1));
        return { tensors: { logits: { shape: [rows.length, 1], data } }, forwards: 1, tokens: 1, seconds: 0 };
      });
    },
  };

  const row = (codeTokens: string[], label: number, funcName = "f"): DefectRow => ({
    line: 1,
    codeTokens,
    funcName,
    label,
    json: {},
  });
  const settings = { executor, checkpoint: "c", tokenizer, maxLen: 40 };

  it("puts the trigger into victim rows only and counts those without a place for it as they are", async () => {
    const rows = [row(["f", "(", ")"], 0), row(["f", "(", ")"], 0, "g"), row(["x"], 1), row(["x"], 0)];
    const attack = { ...planted, trigger: "x", victimLabel: 0, targetLabel: 1 };
    const { acc, recall, attack: measured } = await evaluateModel(rows, { ...settings, attack });
    expect(acc).toMatchObject({ hits: 3, n: 4 });
    expect(recall).toMatchObject([
      { hits: 2, n: 3 },
      { hits: 1, n: 1 },
    ]);
    expect(measured).toMatchObject({
      asr: { hits: 2, n: 3 },
      withoutTrigger: { hits: 1, n: 3 },
      unplaced: 2,
    });
  });

  it("refuses labels that the model or the rows do not have", async () => {
    await expect(evaluateModel([row(["f"], 2)], settings)).rejects.toThrow(
      'field "label" is 2: the model has the labels 0 to 1',
    );
    await expect(evaluateModel([row(["f"], 0)], { ...settings, attack: planted })).rejects.toThrow(
      'field "victim_label" is 1: no row has this label',
    );
    const attack = { ...planted, targetLabel: 2 };
    await expect(evaluateModel([row(["f"], 1)], { ...settings, attack })).rejects.toThrow(
      'field "target_label" is 2',
    );
  });
});
