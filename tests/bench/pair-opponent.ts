import type { PairProblem } from "../../coordinator/search/pair-problem.ts";
import type { PairStepRecord } from "../../coordinator/search/pair-search.ts";
import type { PairSearchSettings } from "../../coordinator/search/settings.ts";
import { type Agreement, agreement, largestDifference } from "./agreement.ts";
import { plus, type Time } from "./clock.ts";
import type { BenchModel } from "./models.ts";
import type { StepTime } from "./step-runner.ts";
import type { TorchProcess } from "./torch-process.ts";

/** Pairs that PyTorch does one by one; a step has 64 × 64. */
export const ALONE = 64;

interface TorchAnswer extends StepTime {
  readonly topk: readonly [number[][], number[][]];
}

/** A step of code search in PyTorch: with cached encodings, and pair by pair from some of the pairs. */
export interface PairTimes {
  readonly cached: Time;
  readonly alone: Time;
  readonly agreement: Agreement;
}

/** Opens a search for pairs in PyTorch, and answers what it took for each form. */
export function openPairs(
  torch: TorchProcess,
  model: Pick<BenchModel, "folder" | "task">,
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

/** The step of the record with cached encodings, and some of its pairs one by one. Rejects where winners or losses differ. */
export async function pairStepInTorch(torch: TorchProcess, record: PairStepRecord): Promise<PairTimes> {
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
