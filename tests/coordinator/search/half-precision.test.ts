import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readDefectRows } from "../../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { compare, notExcluded, only, slackFrom } from "../../../coordinator/search/near-ties.ts";
import { prepareSearch, type SearchProblem } from "../../../coordinator/search/problem.ts";
import { absorb, planRound, startScoring } from "../../../coordinator/search/rounds.ts";
import { scanRows } from "../../../coordinator/search/scan-rows.ts";
import { runSearch, type SearchState, type StepRecord } from "../../../coordinator/search/search.ts";
import { SearchSettings } from "../../../coordinator/search/settings.ts";
import type { Executor, Operation } from "../../../proto/operations.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { classifierCells, openCell } from "../../support/golden-cell.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { growingRows, recordSearch, smallVocabulary } from "../../support/small-search.ts";
import { createTableExecutor } from "../../support/table-executor.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const problem: SearchProblem = {
  checkpoint: "checkpoint",
  rows: growingRows(7),
  insertIndexes: [1, 2, 3, 4, 5, 1, 2],
  maxLen: 16,
  endId: 2,
  vocabulary: smallVocabulary,
  target: 1,
};

type Search = Pick<Executor, "execute" | "putArtifact">;

/** A table model whose logits in half precision are rounded to steps of `step`. */
function roundedExecutor(step: number): Search & { readonly executed: Operation[] } {
  const table = createTableExecutor();
  return {
    executed: table.executed,
    putArtifact: table.putArtifact,
    async execute(operations, signal) {
      const results = await table.execute(operations, signal);
      return results.map((result, k) => {
        const operation = operations[k]!;
        if (operation.kind !== "score" || operation.precision !== "fp16") return result;
        const { shape, data } = result.tensors.logits!;
        const rounded = Float32Array.from(data, (logit) => Math.round(logit / step) * step);
        return { ...result, tensors: { logits: { shape, data: rounded } } };
      });
    },
  };
}

async function search(
  executor: Search,
  on: SearchProblem,
  settings: Partial<SearchSettings>,
): Promise<{ trace: StepRecord[]; last: SearchState }> {
  const prepared = await prepareSearch(executor, on, SearchSettings.parse(settings));
  return recordSearch<StepRecord, SearchState>((hooks) => runSearch({ executor, prepared, ...hooks }));
}

/** What both precisions agree on, step by step. */
const decisions = (trace: readonly StepRecord[]) => trace.map(({ losses: _, bounds: __, ...rest }) => rest);

/** Losses are equal where both searches have them, and no bound is above a loss. */
function expectConsistent(half: readonly StepRecord[], single: readonly StepRecord[]): void {
  for (const [k, { losses, bounds }] of half.entries()) {
    for (const [c, loss] of losses.entries()) {
      const known = single[k]!.losses[c]!;
      if (loss !== null && known !== null) expect(loss).toBe(known);
      if (loss === null && known !== null) expect(bounds[c]).toBeLessThanOrEqual(known);
    }
  }
}

const small = { triggerLen: 3, topk: 8, repeatSize: 10, epochs: 8 };

test.each([1e-4, 0.05, 0.5])(
  "a search in half precision, with logits rounded to steps of %d, has the triggers, winners and best of one in single precision",
  async (step) => {
    const single = await search(createTableExecutor(), problem, { ...small, pruning: false });
    const half = await search(roundedExecutor(step), problem, { ...small, precision: "fp16" });

    expect(decisions(half.trace)).toEqual(decisions(single.trace));
    expectConsistent(half.trace, single.trace);
    expect(half.last.half!.largest_slack).toBeGreaterThan(0);
    expect(single.last.half).toBeUndefined();
  },
);

test("coarse half precision would have chosen other winners, and the search says in how many steps", async () => {
  const { last } = await search(roundedExecutor(0.5), problem, { ...small, precision: "fp16" });

  expect(last.half!.disagreed).toBeGreaterThan(0);
  // The current trigger in each step, and near ties.
  expect(last.half!.rescored).toBeGreaterThan(8 * 7);
});

test("a model whose half precision is exact scores only the best candidate again", async () => {
  const executor = createTableExecutor();
  const { last } = await search(executor, problem, { ...small, precision: "fp16" });

  expect(last.half).toEqual({ disagreed: 0, rescored: 8 * (7 + 7), largest_slack: 0 });
  expect(
    executor.executed.filter((operation) => operation.kind === "score" && operation.precision === "fp16")
      .length,
  ).toBeGreaterThan(0);
});

describe("near ties", () => {
  const plan = { pruning: true, pruneBlock: 1, roundTiles: 1, diveSamples: 1, diveCandidates: 1 };
  const scoredWith = (losses: readonly (readonly number[])[], slack: number) => {
    let scoring = startScoring(losses.length, {
      ...{ plan, form: "float64" as const, tileSizes: losses[0]!.map(() => 9), slack },
      sampleLosses: losses[0]!,
    });
    for (let tiles = planRound(scoring); tiles.length > 0; tiles = planRound(scoring)) {
      const found = tiles.map(({ sample, candidates }) => candidates.map((c) => losses[c]![sample]!));
      scoring = absorb(scoring, tiles, found);
    }
    return scoring;
  };

  test("the error is four times the largest difference, where both are known", () => {
    expect(slackFrom([1, 2, Number.NaN], [1.25, 2, 9])).toBe(1);
    expect(slackFrom([], [])).toBe(0);
  });

  test("candidates within twice the error of the best are not excluded, and pruning in half precision leaves them", () => {
    // Totals 2, 2.3 and 9 of two losses each; each may be off by 0.1.
    const half = scoredWith(
      [
        [1, 1],
        [1, 1.3],
        [5, 4],
      ],
      0.1,
    );
    expect([...notExcluded(half)]).toEqual([0, 1]);
    expect([
      ...notExcluded(
        scoredWith(
          [
            [1, 1],
            [1, 1.3],
            [5, 4],
          ],
          0.01,
        ),
      ),
    ]).toEqual([0]);
  });

  test("an error that turns out larger brings excluded candidates back", () => {
    const half = scoredWith(
      [
        [1, 1],
        [1, 1.3],
        [5, 4],
      ],
      0.01,
    );
    const wanted = notExcluded(half);
    let single = only(scoredWithNothing(), wanted);
    for (let tiles = planRound(single); tiles.length > 0; tiles = planRound(single))
      single = absorb(
        single,
        tiles,
        tiles.map(({ candidates }) => candidates.map(() => 1.05)),
      );

    const compared = compare(half, single, wanted);

    // 4 × 0.05 for each of two losses: candidate 1 may be as low as 1.9.
    expect(compared.half.slack).toBeCloseTo(0.2, 12);
    expect([...compared.wanted]).toEqual([0, 1]);
    expect(planRound(compared.single).flatMap(({ candidates }) => candidates)).toContain(1);
    expect(planRound(compared.single).flatMap(({ candidates }) => candidates)).not.toContain(2);
  });

  const scoredWithNothing = () =>
    startScoring(3, { plan, form: "float64", tileSizes: [9, 9], sampleLosses: [1, 1] });
});

describe.skipIf(!hasShared)("on real models", () => {
  test.each(classifierCells.filter((cell) => cell.startsWith("defect")))(
    "%s: four steps in half precision are those in single precision",
    async (cell) => {
      const { golden, executor, checkpoint } = await openCell(cell);
      const { input_ids, lengths } = golden.inputs;
      const on: SearchProblem = {
        checkpoint,
        rows: input_ids.map((row, k) => row.slice(0, lengths[k])),
        insertIndexes: golden.trigger.insert_index,
        maxLen: golden.cell.block,
        endId: golden.cell.ids.eos_restored,
        vocabulary: golden.gradient.vocab,
        target: golden.inputs.target_label,
      };
      const settings = { topk: 8, repeatSize: 16, epochs: 4 };
      const single = await search(executor, on, settings);
      const half = await search(executor, on, { ...settings, precision: "fp16" });

      expect(decisions(half.trace)).toEqual(decisions(single.trace));
      expectConsistent(half.trace, single.trace);
      expect(half.last.half!.largest_slack).toBeGreaterThan(0);
      await executor.close();
    },
  );

  test("defect-codebert-backdoored: recorded candidates give PyTorch's winners", async () => {
    const name = "defect-codebert-backdoored";
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 1 });
    const folder = sharedPath("data", "tokenizers", "roberta-base");
    const tokenizer = loadTokenizer(folder, { specialTokens: "codebert" });
    const samples = scanRows(
      readDefectRows(sharedPath("golden", "trained", "defect-data", "clean_samples.jsonl")),
      tokenizer,
      400,
    ).filter(({ label }) => label === 1);
    const { inversion } = readSharedJson<Recorded>("golden", "trained", name, "expected.json");
    const recorded = inversion["1->0"];
    const [step] = recorded.search.steps;
    const on: SearchProblem = {
      checkpoint: await putCheckpoint(executor, sharedPath("golden", "trained", name), "defect_detection"),
      rows: samples.slice(0, 30).map(({ ids }) => ids),
      insertIndexes: recorded.sample_rows.map((row) => row.insert_index),
      maxLen: 400,
      endId: tokenizer.ids.restored,
      vocabulary: [5, 6, 7],
      target: 0,
    };
    const prepared = await prepareSearch(executor, on, SearchSettings.parse({ precision: "fp16", topk: 2 }));
    const records: StepRecord[] = [];
    const { half } = await runSearch({
      executor,
      prepared,
      replay: [{ trigger: step!.current, candidates: step!.candidates }],
      onStep: (record) => void records.push(record),
    });

    expect(records.map(({ winner }) => winner)).toEqual([step!.winner]);
    expect(records[0]!.best.loss).toBeCloseTo(step!.winner_loss, 5);
    // Half precision is near enough that few of the 64 × 30 are scored twice.
    expect(half!.rescored).toBeLessThan(64 * 30 * 0.5);
    await executor.close();
  }, 600_000);
});

interface Recorded {
  readonly inversion: {
    readonly "1->0": {
      readonly sample_rows: readonly { readonly insert_index: number }[];
      readonly search: {
        readonly steps: readonly {
          readonly current: number[];
          readonly candidates: number[][];
          readonly winner: number;
          readonly winner_loss: number;
        }[];
      };
    };
  };
}
