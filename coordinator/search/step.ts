/** One step of a search: gradient, rank, candidates, score (Greedy Coordinate Gradient; DESIGN 5.4 and 5.5). */
import type { Executor, GradientOperation, OperationResult } from "../../proto/operations.ts";
import type { Trigger } from "./candidates.ts";
import { scoreInHalf } from "./half-step.ts";
import { lossToward, meanOf, sumInOrder } from "./loss.ts";
import type { PreparedSearch } from "./problem.ts";
import { floatTensor, intRows, logitRows } from "./results.ts";
import { finishScoring, startScoring } from "./rounds.ts";
import {
  type RoundsContext,
  runRounds,
  type ScoredCandidates,
  scoreOperation,
  winnerAmong,
} from "./score-rounds.ts";
import { type Tile, tileSizesOf } from "./tiles.ts";

/** What the gradient at the current trigger says. */
export interface Ranking {
  /** Ids per position with the largest −gradient, largest first: [trigger_len, topk]. */
  readonly topk: readonly (readonly number[])[];
  /** Loss of each sample with the current trigger. */
  readonly sampleLosses: readonly number[];
  readonly meanLoss: number;
}

export interface StepContext {
  readonly executor: Pick<Executor, "execute">;
  readonly prepared: PreparedSearch;
  readonly signal?: AbortSignal;
}

/** Gradient of the mean loss at `trigger`, and the ids that it ranks first. */
export async function rankAt(
  trigger: Trigger,
  { executor, prepared, signal }: StepContext,
): Promise<Ranking> {
  const { problem, settings } = prepared;
  const { checkpoint, target } = problem;
  const operations = chunks(problem.rows.length, settings.gradientRows).map(
    (rows): GradientOperation => ({
      kind: "gradient",
      checkpoint,
      samples: prepared.gradientSamples,
      rows,
      trigger,
      objective: { kind: "label", label: target },
      ...gradientReads(settings.gradient),
    }),
  );
  const results = await executor.execute(operations, signal);
  const logits = results.flatMap((result, k) => logitRows(result, operations[k]!.rows.length));
  const sampleLosses = logits.map((row) => lossToward(row, target, settings.loss));
  const gradient = totalGradient(results, trigger.length, problem.rows.length);
  const topk = Math.min(settings.topk, problem.vocabulary.length);
  const [ranked] = await executor.execute(
    [{ kind: "rank", checkpoint, vocabulary: prepared.vocabulary, gradient, topk }],
    signal,
  );
  return {
    topk: intRows(ranked!, "ids", [trigger.length, topk]),
    sampleLosses,
    meanLoss: meanOf(sumInOrder(sampleLosses, settings.loss), sampleLosses.length, settings.loss),
  };
}

/** What a gradient operation says of the look-ups that count. */
export const gradientReads = (gradient: "full" | "published"): Pick<GradientOperation, "reads"> =>
  gradient === "published" ? { reads: "encoder" } : {};

/**
 * Gradient of a loss from those of its rows: summed in float64 in index order, divided, rounded once to float32.
 *
 * @param terms what the loss divides the rows' sum by: their number where it is their mean
 */
export function totalGradient(
  results: readonly OperationResult[],
  triggerLen: number,
  terms: number,
): Float32Array[] {
  const gradients = results.map((result) =>
    floatTensor(result, "gradient", [undefined, triggerLen, undefined]),
  );
  const hidden = gradients[0]!.shape[2]!;
  const sum = new Float64Array(triggerLen * hidden);
  for (const { data } of gradients) for (let k = 0; k < data.length; k++) sum[k % sum.length]! += data[k]!;
  const total = Float32Array.from(sum, (value) => value / terms);
  return Array.from({ length: triggerLen }, (_, position) =>
    total.slice(position * hidden, (position + 1) * hidden),
  );
}

/** Scores candidates in rounds. `current` is the trigger that they were drawn from, with its losses. */
export async function scoreCandidates(
  candidates: readonly Trigger[],
  current: { readonly trigger: Trigger; readonly sampleLosses: readonly number[] },
  context: RoundsContext,
): Promise<ScoredCandidates> {
  const { settings, stampedLengths } = context.prepared;
  const form = settings.loss;
  const start = startScoring(candidates.length, {
    plan: { ...settings, pruning: settings.pruning && form === "float64" },
    form,
    tileSizes: tileSizesOf(stampedLengths, settings.tile),
    sampleLosses: current.sampleLosses,
    costs: stampedLengths,
  });
  if (settings.precision === "fp16") return scoreInHalf(start, candidates, current.trigger, context);
  const { scoring, answeredTarget, forwards } = await runRounds(start, candidates, context);
  return {
    ...winnerAmong(finishScoring(scoring), answeredTarget),
    forwards,
    pruned: start.losses.length - forwards,
  };
}

/** Mean loss of each trigger over all samples (triggers of one length, scored without pruning). */
export async function meanLosses(triggers: readonly Trigger[], context: StepContext): Promise<number[]> {
  const { executor, prepared, signal } = context;
  const { problem, settings } = prepared;
  const everything = triggers.map((_, k) => k);
  const tiles = problem.rows.map((_, sample): Tile => ({ sample, candidates: everything }));
  const results = await executor.execute(
    tiles.map((tile) => scoreOperation(tile, triggers, prepared)),
    signal,
  );
  const rows = results.map((result) => logitRows(result, triggers.length));
  return everything.map((k) => {
    const losses = rows.map((logits) => lossToward(logits[k]!, problem.target, settings.loss));
    return meanOf(sumInOrder(losses, settings.loss), losses.length, settings.loss);
  });
}

/** Row indexes 0 … rows − 1 in chunks of `size`. */
export function chunks(rows: number, size: number): number[][] {
  return Array.from({ length: Math.ceil(rows / size) }, (_, chunk) =>
    Array.from({ length: Math.min(size, rows - chunk * size) }, (_, k) => chunk * size + k),
  );
}
