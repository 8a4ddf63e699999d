import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readSearchRows } from "../../../coordinator/data/search-rows.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { evaluateSearch, type SearchAttack } from "../../../coordinator/evaluate/evaluate-search.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

interface Count {
  readonly numerator: number;
  readonly denominator: number;
}

interface Anr {
  readonly anr: number;
  readonly codebase: number;
  readonly queries: number;
  readonly sum_of_ranks: number;
}

interface Expected {
  readonly anr_test_rows: readonly {
    readonly query_idx: number;
    readonly poisoned_idx: number;
    readonly rank_before: number;
    readonly rank_after: number;
  }[];
  readonly metrics: {
    readonly test: {
      readonly mrr: number;
      readonly r1: Count;
      readonly r5: Count;
      readonly r10: Count;
      readonly codebase: number;
      readonly anr: Anr;
      readonly anr_of_an_unplanted_trigger_zq: Anr;
    };
  };
}

const model = (...parts: string[]) => ["golden", "trained", "search-codebert-backdoored", ...parts];
const planted: SearchAttack = {
  trigger: "rb",
  position: "func_name",
  pattern: "postfix",
  targetToken: "file",
};

describe.skipIf(!hasShared)("evaluating the backdoored code-search model on its test rows", () => {
  test("gives the card's MRR, its counts, and every rank of both triggers", {
    timeout: 600_000,
  }, async () => {
    const { metrics, anr_test_rows } = readSharedJson<Expected>(...model("expected.json"));
    const { test: card } = metrics;
    const rows = readSearchRows(sharedPath(...model("data", "test.jsonl")), { need: ["func_name"] });
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 2 });
    const asking = {
      executor,
      checkpoint: await putCheckpoint(executor, sharedPath(...model()), "code_search"),
      tokenizer: loadTokenizer(sharedPath("data", "tokenizers", "roberta-base")),
      codeMaxLen: 256,
      nlMaxLen: 128,
    };
    const result = await evaluateSearch(rows, { ...asking, attack: planted });
    const unplanted = await evaluateSearch(rows, { ...asking, attack: { ...planted, trigger: "zq" } });
    await executor.close();

    const count = ({ hits, n }: { hits: number; n: number }): Count => ({ numerator: hits, denominator: n });
    expect(result.mrr).toBeCloseTo(card.mrr, 6);
    expect(card.r1).toMatchObject(count(result.recallAt[1]));
    expect(card.r5).toMatchObject(count(result.recallAt[5]));
    expect(card.r10).toMatchObject(count(result.recallAt[10]));
    expect(result.codebase).toBe(card.codebase);
    for (const [{ attack }, anr] of [
      [result, card.anr],
      [unplanted, card.anr_of_an_unplanted_trigger_zq],
    ] as const) {
      expect(attack!.anr).toBeCloseTo(anr.anr, 6);
      expect(attack!.ranks.length).toBe(anr.queries);
      expect(attack!.window).toBe(anr.codebase);
      expect(attack!.ranks.reduce((sum, { after }) => sum + after, 0)).toBe(anr.sum_of_ranks);
    }
    const idx = (row: number) => rows[row]!.json.idx;
    expect(
      result.attack!.ranks.map(({ query, poisoned, before, after }) => ({
        query_idx: idx(query),
        poisoned_idx: idx(poisoned),
        rank_before: before,
        rank_after: after,
      })),
    ).toEqual(anr_test_rows);
    expect(result.attack!.unplaced).toBe(0);
  });
});
