/** One step of a search: gradient, rank, candidates, score (Greedy Coordinate Gradient; DESIGN 5.4 and 5.5). */
import type { Executor, GradientOperation, OperationResult, ScoreOperation } from "../../proto/operations.ts";
import type { Trigger } from "./candidates.ts";
import { lossToward, meanOf, predictedLabel, sumInOrder } from "./loss.ts";
import type { PreparedSearch } from "./problem.ts";
import { floatTensor, intRows, logitRows } from "./results.ts";
import { absorb, type CandidateScore, finishScoring, planRound, startScoring, winnerOf } from "./rounds.ts";
import { inForm } from "./settings.ts";
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

/** Losses of a step's candidates. */
export interface ScoredCandidates {
  readonly scores: readonly CandidateScore[];
  /** Index of the lowest total, ties to the lower index. */
  readonly winner: number;
  readonly winnerLoss: number;
  /** Share of the samples that the model answers with the target under the winner. */
  readonly winnerRate: number;
  /** Forwards (candidates × samples) that were run; the rest of the grid was pruned. */
  readonly forwards: number;
}

/** Scores candidates in rounds; `onRound` hears after each how many forwards were done in it. */
export async function scoreCandidates(
  candidates: readonly Trigger[],
  sampleLosses: readonly number[],
  { executor, prepared, signal, onRound }: StepContext & { readonly onRound?: (forwards: number) => void },
): Promise<ScoredCandidates> {
  const { problem, settings, stampedLengths } = prepared;
  const { target } = problem;
  const form = settings.loss;
  const plan = { ...settings, pruning: settings.pruning && form === "float64" };
  const tileSizes = tileSizesOf(stampedLengths, settings.tileTokens);
  let scoring = startScoring(candidates.length, {
    plan,
    form,
    tileSizes,
    sampleLosses,
    costs: stampedLengths,
  });
  const answeredTarget = new Uint8Array(scoring.losses.length);
  let forwards = 0;
  for (;;) {
    const tiles = planRound(scoring);
    if (tiles.length === 0) break;
    const results = await executor.execute(
      tiles.map((tile) => scoreOperation(tile, candidates, prepared)),
      signal,
    );
    const losses = tiles.map((tile, t) =>
      logitRows(results[t]!, tile.candidates.length).map((logits, k) => {
        if (predictedLabel(logits) === target)
          answeredTarget[tile.candidates[k]! * problem.rows.length + tile.sample] = 1;
        return lossToward(logits, target, form);
      }),
    );
    scoring = absorb(scoring, tiles, losses);
    const done = tiles.reduce((sum, tile) => sum + tile.candidates.length, 0);
    forwards += done;
    onRound?.(done);
  }
  const scores = finishScoring(scoring);
  const winner = winnerOf(scores);
  const score = scores[winner];
  if (score?.kind !== "complete") throw new Error("a step needs at least one candidate");
  const samples = problem.rows.length;
  const hits = answeredTarget
    .subarray(winner * samples, (winner + 1) * samples)
    .reduce((sum, hit) => sum + hit, 0);
  return { scores, winner, winnerLoss: score.mean, winnerRate: hits / samples, forwards };
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

function scoreOperation(tile: Tile, triggers: readonly Trigger[], prepared: PreparedSearch): ScoreOperation {
  return {
    kind: "score",
    checkpoint: prepared.problem.checkpoint,
    samples: prepared.scoreSamples,
    sample: tile.sample,
    triggers: tile.candidates.map((candidate) => triggers[candidate]!),
    ...inForm(prepared.settings.programForm),
  };
}

/** Row indexes 0 … rows − 1 in chunks of `size`. */
export function chunks(rows: number, size: number): number[][] {
  return Array.from({ length: Math.ceil(rows / size) }, (_, chunk) =>
    Array.from({ length: Math.min(size, rows - chunk * size) }, (_, k) => chunk * size + k),
  );
}
