import { describe, expect, test } from "vitest";
import { anchorPublished, without } from "../../../coordinator/search/anchoring.ts";
import { type PreparedSearch, prepareSearch } from "../../../coordinator/search/problem.ts";
import { runSearch, type StepRecord } from "../../../coordinator/search/search.ts";
import { SearchSettings } from "../../../coordinator/search/settings.ts";
import { meanLosses, rankAt, scoreCandidates } from "../../../coordinator/search/step.ts";
import { relativeDifference } from "../../support/golden.ts";
import { classifierCells, openCell } from "../../support/golden-cell.ts";
import { hasShared, readSharedJson } from "../../support/shared.ts";

/** Parts of a cell that only the search reads. */
interface SearchCase {
  readonly candidates: {
    readonly loss_mean_published: number[];
    readonly at_constant_index: {
      readonly insert_index: number;
      readonly loss_mean_published: number[];
      readonly winner: number;
    };
  };
  readonly steps: readonly {
    readonly loss_at_trigger: number;
    readonly loss_mean: number[];
    readonly winner_loss: number;
    readonly best_so_far: { readonly step: number; readonly trigger: number[]; readonly loss: number };
  }[];
  readonly anchoring: {
    readonly trigger: number[];
    readonly loss_full: number;
    readonly loss_without: number[];
    readonly "kept_beta_0.15": { readonly signed: number[] };
    readonly "kept_beta_0.01": { readonly signed: number[] };
  };
}

interface PublishedGradient {
  readonly gradient_published: { readonly samples: number[]; readonly topk_ids: number[][] };
}

const TOLERANCE = 2e-5;

/** The cell's search on a real engine, over all samples or `only` some. */
async function openSearch(cell: string, changes: Partial<SearchSettings> = {}, only?: readonly number[]) {
  const { golden, executor, checkpoint } = await openCell(cell);
  const rest = readSharedJson<SearchCase>("golden", "tiny", cell, "case.json");
  const { input_ids, lengths, lengths_second } = golden.inputs;
  const { block } = golden.cell;
  const samples = only ?? [...input_ids.keys()];
  const prepared: PreparedSearch = await prepareSearch(
    executor,
    {
      checkpoint,
      rows: samples.map((k) => input_ids[k]!.slice(0, lengths[k])),
      secondRows:
        lengths_second && samples.map((k) => input_ids[k]!.slice(block, block + lengths_second[k]!)),
      insertIndexes: samples.map((k) => golden.trigger.insert_index[k]!),
      maxLen: block,
      endId: golden.cell.ids.eos_restored,
      vocabulary: golden.gradient.vocab,
      target: golden.inputs.target_label,
    },
    SearchSettings.parse({ topk: 8, repeatSize: 16, tile: 300, gradientRows: 4, ...changes }),
  );
  return { golden, rest, executor, prepared };
}

describe.skipIf(!hasShared).each(classifierCells.filter((cell) => cell.endsWith("codet5")))("%s", (cell) => {
  test("the published gradient, of the encoder's look-ups alone, ranks as recorded", async () => {
    const golden = readSharedJson<PublishedGradient>("golden", "tiny", cell, "case.json");
    const { samples, topk_ids } = golden.gradient_published;
    const search = await openSearch(cell, { gradient: "published" }, samples);
    const { executor, prepared } = search;
    expect((await rankAt(search.golden.trigger.ids, { executor, prepared })).topk).toEqual(topk_ids);
    await executor.close();
  });
});

describe.skipIf(!hasShared).each(classifierCells)("%s", (cell) => {
  test.each([{ pruning: false }, { pruning: true }])(
    "the recorded candidates give PyTorch's top-k, losses, winners and best (%o)",
    async (plan) => {
      const { golden, rest, executor, prepared } = await openSearch(cell, plan);
      const records: StepRecord[] = [];
      const last = await runSearch({
        executor,
        prepared,
        replay: golden.steps,
        onStep: (record) => void records.push(record),
      });
      expect(last).toMatchObject({ step: 4, ended: "replayed" });
      expect(last.forwards.pruned > 0).toBe(plan.pruning);
      for (const [k, record] of records.entries()) {
        const step = { ...golden.steps[k]!, ...rest.steps[k]! };
        expect(record.topk).toEqual(step.topk_ids);
        expect(record.winner).toBe(step.winner);
        expect(relativeDifference([record.loss_at_trigger], [step.loss_at_trigger])).toBeLessThan(TOLERANCE);
        for (const [c, loss] of record.losses.entries()) {
          if (loss === null) expect(step.loss_mean[c]).toBeGreaterThan(record.bounds[c]!);
          else expect(relativeDifference([loss], [step.loss_mean[c]!])).toBeLessThan(TOLERANCE);
        }
        expect(record.best).toMatchObject({
          step: step.best_so_far.step,
          trigger: step.best_so_far.trigger,
        });
        expect(relativeDifference([record.best.loss], [step.best_so_far.loss])).toBeLessThan(TOLERANCE);
      }
      await executor.close();
    },
  );

  test("anchoring keeps the tokens that PyTorch keeps", async () => {
    const { rest, executor, prepared } = await openSearch(cell);
    const { trigger, ...golden } = rest.anchoring;
    const [whole] = await meanLosses([trigger], { executor, prepared });
    const each = await meanLosses(
      trigger.map((_, k) => without(trigger, k)),
      { executor, prepared },
    );
    expect(relativeDifference([whole!], [golden.loss_full])).toBeLessThan(TOLERANCE);
    expect(relativeDifference(each, golden.loss_without)).toBeLessThan(TOLERANCE);
    for (const beta of [0.15, 0.01] as const)
      expect(anchorPublished(trigger, whole!, beta, each).ids).toEqual(golden[`kept_beta_${beta}`].signed);
    await executor.close();
  });

  test("candidates at the published constant index have the published losses and winner", async () => {
    const { golden, rest, executor, prepared } = await openSearch(cell, {
      scoreIndex: 10,
      loss: "published",
    });
    const expected = rest.candidates.at_constant_index;
    expect(expected.insert_index).toBe(10);
    const losses = golden.inputs.labels.map(() => 1);
    const scored = await scoreCandidates(
      golden.candidates.triggers,
      { trigger: golden.trigger.ids, sampleLosses: losses },
      { executor, prepared },
    );
    const means = scored.scores.map((score) => (score.kind === "complete" ? score.mean : Number.NaN));
    expect(relativeDifference(means, expected.loss_mean_published)).toBeLessThan(5e-5);
    expect(scored.winner).toBe(expected.winner);
    await executor.close();
  });

  test("tile plan, pruning and gradient chunks change no bit of a search", async () => {
    const kept: string[] = [];
    for (const plan of [
      { pruning: false, tile: 2_000, gradientRows: 6 },
      { tile: 100, gradientRows: 1, pruneBlock: 1 },
    ]) {
      const { executor, prepared } = await openSearch(cell, { epochs: 3, ...plan });
      const records: StepRecord[] = [];
      await runSearch({ executor, prepared, onStep: (record) => void records.push(record) });
      kept.push(
        JSON.stringify(
          records.map(({ trigger, topk, candidates, winner, best, loss_at_trigger }) => [
            ...[trigger, topk, candidates, winner, best, loss_at_trigger],
          ]),
        ),
      );
      await executor.close();
    }
    expect(kept[1]).toBe(kept[0]);
  });
});
