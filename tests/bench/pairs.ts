import { type PairProblem, preparePairSearch } from "../../coordinator/search/pair-problem.ts";
import { type PairStepRecord, runPairSearch } from "../../coordinator/search/pair-search.ts";
import { PairSearchSettings } from "../../coordinator/search/settings.ts";
import { type Agreement, agreement, agreementNote, largestDifference } from "./agreement.ts";
import { plus, startClock, type Time } from "./clock.ts";
import type { BenchModel } from "./models.ts";
import { pairProblem } from "./pair-problem.ts";
import type { Measurement, Scenario } from "./scenario.ts";
import type { StepTime } from "./step-runner.ts";
import type { TorchProcess } from "./torch-process.ts";

/** Pairs that PyTorch does one by one; a step has 64 × 64. */
const ALONE = 64;

interface TorchAnswer extends StepTime {
  readonly topk: readonly [number[][], number[][]];
}

/** A step of code search in PyTorch: with cached encodings, and pair by pair from some of the pairs. */
interface PairTimes {
  readonly cached: Time;
  readonly alone: Time;
  readonly agreement: Agreement;
}

export const pairs: Scenario = {
  name: "pairs",
  about: "one step of code search, 64 triggers × 64 targets on 30 codes and queries",
  async run(bench) {
    const model = await bench.models.get("search");
    const problem = pairProblem(model);
    const executor = await bench.models.executor(bench.threads);
    const steps = bench.repetitions(3);
    // One step more: the first one compiles the programs.
    const settings = PairSearchSettings.parse({ epochs: steps + 1 });
    const prepared = await preparePairSearch(executor, problem, settings);
    if (bench.torch) bench.say(`${model.about}: PyTorch tries its forms`);
    const about = bench.torch && (await openPairs(bench.torch, model, problem, settings));
    const ours: Time[] = [];
    const theirs: PairTimes[] = [];
    let clock = startClock();
    const { blocks } = await runPairSearch({
      executor,
      prepared,
      async onStep(record) {
        const took = clock();
        if (record.step > 0) {
          bench.say(`${model.about}: step ${record.step}`);
          ours.push(took);
          if (bench.torch) theirs.push(await stepInTorch(bench.torch, record));
        }
        clock = startClock();
      },
    });
    await executor.close();
    const agreements = theirs.map((time) => time.agreement);
    return {
      measurements: [
        { name: "whole step", unit: "s", values: ours.map(({ wall }) => wall) },
        ...(about
          ? [
              ...against(
                "pair by pair",
                theirs.map(({ alone }) => alone),
                ours,
                100,
              ),
              ...against(
                "cached encodings",
                theirs.map(({ cached }) => cached),
                ours,
                2,
              ),
            ]
          : []),
      ],
      notes: [
        model.about,
        `pruning saved ${((100 * blocks.pruned) / (blocks.done + blocks.pruned)).toFixed(0)} % of the products`,
        ...(about
          ? [
              `pair by pair: ${about.published}, extrapolated from ${ALONE} pairs`,
              `cached encodings: ${about.batched}`,
              agreementNote(agreements, "cached encodings"),
            ]
          : []),
      ],
    };
  },
};

function openPairs(
  torch: TorchProcess,
  model: BenchModel,
  { codes, queries, vocabulary }: PairProblem,
  { triggerLen, targetLen, topk, repeatSize }: PairSearchSettings,
) {
  const side = ({ rows, insertIndexes, maxLen, endId }: PairProblem["codes"], length: number) => ({
    rows,
    insert_indexes: insertIndexes,
    trigger_len: length,
    max_len: maxLen,
    end_id: endId,
  });
  return torch.open(model, "pairs", {
    codes: side(codes, triggerLen),
    queries: side(queries, targetLen),
    vocabulary,
    topk,
    candidates: repeatSize,
  });
}

async function stepInTorch(torch: TorchProcess, record: PairStepRecord): Promise<PairTimes> {
  const { trigger, target, candidates, target_candidates } = record;
  const asked = { trigger, target, triggers: candidates, targets: target_candidates };
  const chosen = Array.from(
    { length: Math.min(ALONE, candidates.length, target_candidates.length) },
    (_, k) => [k, k],
  );
  const cached = await torch.call<TorchAnswer & { losses: number[][]; winner: [number, number] }>(
    "step",
    asked,
  );
  const alone = await torch.call<TorchAnswer & { losses: number[] }>("step", { ...asked, pairs: chosen });
  const same = chosen.map(([t, g]) => cached.losses[t!]![g!]!);
  const apart = largestDifference(same, alone.losses);
  if (!(apart <= 1e-4))
    throw new Error(`pair by pair: losses differ from those of cached encodings by ${apart}`);
  const columns = target_candidates.length;
  const flat = ([t, g]: readonly [number, number]) => t * columns + g;
  const grid = candidates.length * columns;
  return {
    cached: plus(cached.ranking, cached.scoring),
    alone: plus(alone.ranking, alone.scoring, grid / chosen.length),
    agreement: agreement(
      {
        step: record.step,
        losses: record.losses.flat(),
        winner: flat(record.winner),
        topk: [...record.topk, ...record.target_topk],
      },
      { losses: cached.losses.flat(), winner: flat(cached.winner), topk: cached.topk.flat() },
      "cached encodings",
    ),
  };
}

function against(name: string, theirs: readonly Time[], ours: readonly Time[], value: number): Measurement[] {
  const ratios = (of: keyof Time) => theirs.map((time, k) => time[of] / ours[k]![of]);
  return [
    { name: `${name}: whole step`, unit: "s", values: theirs.map(({ wall }) => wall) },
    { name: `${name} ÷ elibad`, unit: "×", values: ratios("wall"), target: { bound: "at least", value } },
    { name: "the same, by processor time", unit: "×", values: ratios("processor") },
  ];
}
