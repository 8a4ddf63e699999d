import { describe, expect, test } from "vitest";
import { anchorPublished, eliminateTokens, without } from "../../../coordinator/search/anchoring.ts";
import { preparePairSearch } from "../../../coordinator/search/pair-problem.ts";
import {
  type PairSearchState,
  type PairStepRecord,
  runPairSearch,
} from "../../../coordinator/search/pair-search.ts";
import { pairLosses, rankPairAt, scorePairs } from "../../../coordinator/search/pair-step.ts";
import { PairSearchSettings } from "../../../coordinator/search/settings.ts";
import { PROGRAM_FORMS } from "../../../proto/operations.ts";
import { relativeDifference } from "../../support/golden.ts";
import { type GoldenSearchCell, openSearchCell, searchCells } from "../../support/search-cell.ts";
import { hasShared } from "../../support/shared.ts";
import { recordSearch } from "../../support/small-search.ts";

/** What a cell has of anchoring, which only the search reads. */
interface PairCase {
  readonly anchoring: {
    readonly trigger: number[];
    readonly target: number[];
    readonly loss_full: number;
    readonly loss_without: number[];
    readonly "kept_beta_0.15": { readonly signed: number[] };
    readonly "kept_beta_0.01": { readonly signed: number[] };
  };
}

const TOLERANCE = 2e-5;

/** The cell's search on a real engine. */
async function openSearch(cell: string, changes: Partial<PairSearchSettings> = {}) {
  const { golden: common, executor, checkpoint, sets } = await openSearchCell(cell);
  const golden = common as GoldenSearchCell & PairCase;
  const prepared = await preparePairSearch(
    executor,
    { checkpoint, ...sets, vocabulary: golden.gradient.vocab },
    PairSearchSettings.parse({ topk: 8, repeatSize: 6, tile: 300, gradientRows: 4, ...changes }),
  );
  return { golden, executor, prepared };
}

describe.skipIf(!hasShared).each(searchCells)("%s", (cell) => {
  test.each([{ pruning: false }, { pruning: true }])(
    "the recorded candidates give PyTorch's top-k, losses, winners and best on both sides (%o)",
    async (plan) => {
      const { golden, executor, prepared } = await openSearch(cell, plan);
      const records: PairStepRecord[] = [];
      const last = await runPairSearch({
        executor,
        prepared,
        replay: golden.steps.map((step) => ({ ...step, targetCandidates: step.target_candidates })),
        onStep: (record) => void records.push(record),
      });
      expect(last).toMatchObject({ step: 4, ended: "replayed" });
      if (!plan.pruning) expect(last.blocks.pruned).toBe(0);
      for (const [k, record] of records.entries()) {
        const step = golden.steps[k]!;
        expect(record.topk).toEqual(step.topk_ids);
        expect(record.target_topk).toEqual(step.target_topk_ids);
        expect(record.winner).toEqual(step.winner);
        expect(relativeDifference([record.loss_at_trigger], [step.loss_at_trigger])).toBeLessThan(TOLERANCE);
        for (const [t, row] of record.losses.entries())
          for (const [g, loss] of row.entries()) {
            const expected = step.loss_mean[t]![g]!;
            if (loss === null) expect(expected).toBeGreaterThan(record.bounds[t]![g]!);
            else expect(relativeDifference([loss], [expected])).toBeLessThan(TOLERANCE);
          }
        const { step: found, trigger, target, loss } = step.best_so_far;
        expect(record.best).toMatchObject({ step: found, trigger, target });
        expect(relativeDifference([record.best.loss], [loss])).toBeLessThan(TOLERANCE);
      }
      await executor.close();
    },
  );

  test("trigger and target are ranked by the gradient of the loss of all queries with all codes", async () => {
    const { golden, executor, prepared } = await openSearch(cell);
    const { ids, target_ids, forward } = golden.trigger;
    const ranking = await rankPairAt({ trigger: ids, target: target_ids }, { executor, prepared });
    expect(ranking.topk).toEqual(golden.gradient.trigger.topk_ids);
    expect(ranking.targetTopk).toEqual(golden.gradient.target.topk_ids);
    expect(relativeDifference([ranking.meanLoss], [forward.loss])).toBeLessThan(TOLERANCE);
    await executor.close();
  });

  test("every pair of the recorded candidates has PyTorch's loss", async () => {
    const { golden, executor, prepared } = await openSearch(cell);
    const { triggers, targets, loss, winner } = golden.candidates;
    const order = triggers.map(() => 1);
    const scored = await scorePairs(triggers, targets, order, { executor, prepared, pruning: false });
    expect(relativeDifference(scored.losses.flat() as number[], loss.flat())).toBeLessThan(TOLERANCE);
    expect(scored.winner).toEqual(winner);
    await executor.close();
  });

  test("anchoring, with the best target kept, keeps the tokens that PyTorch keeps", async () => {
    const { golden, executor, prepared } = await openSearch(cell);
    const { trigger, target, ...recorded } = golden.anchoring;
    const lossesOf = (triggers: readonly (readonly number[])[]) =>
      pairLosses(triggers, target, { executor, prepared });
    const [whole] = await lossesOf([trigger]);
    const each = await lossesOf(trigger.map((_, k) => without(trigger, k)));
    expect(relativeDifference([whole!], [recorded.loss_full])).toBeLessThan(TOLERANCE);
    expect(relativeDifference(each, recorded.loss_without)).toBeLessThan(TOLERANCE);
    for (const beta of [0.15, 0.01] as const)
      expect(anchorPublished(trigger, whole!, beta, each).ids).toEqual(recorded[`kept_beta_${beta}`].signed);
    const minimal = await eliminateTokens(trigger, whole!, 0.01, lossesOf);
    if (Math.min(...recorded.loss_without) > recorded.loss_full + 0.01) expect(minimal.ids).toEqual(trigger);
    else expect(minimal.ids.length).toBeLessThan(trigger.length);
    await executor.close();
  });

  test("tile plan, pruning and gradient chunks change no bit of a search", async () => {
    const kept: string[] = [];
    for (const plan of [{ pruning: false, tile: 2_000 }, { tile: 100 }]) {
      const { executor, prepared } = await openSearch(cell, { epochs: 2, ...plan });
      const records: PairStepRecord[] = [];
      await runPairSearch({ executor, prepared, onStep: (record) => void records.push(record) });
      kept.push(JSON.stringify(records.map(({ losses: _, bounds: __, ...rest }) => rest)));
      await executor.close();
    }
    expect(kept[1]).toBe(kept[0]);
  });

  test.each(PROGRAM_FORMS)(
    "in the %s form a search that stops after every step, and so encodes every current pair alone, has the same bits",
    async (programForm) => {
      const { executor, prepared } = await openSearch(cell, { epochs: 3, programForm });
      const record = (state?: PairSearchState, stopAfter?: number) =>
        recordSearch<PairStepRecord, PairSearchState>(
          (hooks) => runPairSearch({ executor, prepared, state, ...hooks }),
          stopAfter,
        );
      const whole = await record();
      const steps: PairStepRecord[] = [];
      let state: PairSearchState | undefined;
      for (const _ of whole.trace) {
        const { trace, last } = await record(state, 1);
        steps.push(...trace);
        state = last;
      }
      expect(JSON.stringify(steps)).toBe(JSON.stringify(whole.trace));
      await executor.close();
    },
  );
});
