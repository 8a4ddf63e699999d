/** One step of a search: gradient, rank, candidates, score (Greedy Coordinate Gradient; DESIGN 5.4 and 5.5). */
import type { Executor, GradientOperation, OperationResult, ScoreOperation } from "../../proto/operations.ts";
import type { Trigger } from "./candidates.ts";
import { lossToward, meanOf, predictedLabel, sumInOrder } from "./loss.ts";
import type { PreparedSearch } from "./problem.ts";
import { floatTensor, intRows, logitRows } from "./results.ts";
import {
  absorb,
  type CandidateScore,
  finishScoring,
  planRound,
  startScoring,
  type Tile,
  winnerOf,
} from "./rounds.ts";

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
    }),
  );
  const results = await executor.execute(operations, signal);
  const logits = results.flatMap((result, k) => logitRows(result, operations[k]!.rows.length));
  const sampleLosses = logits.map((row) => lossToward(row, target, settings.loss));
  const gradient = meanGradient(results, trigger.length);
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

/** Mean over samples of per-sample gradients: summed in float64 in index order, rounded once to float32. */
export function meanGradient(results: readonly OperationResult[], triggerLen: number): Float32Array[] {
  const gradients = results.map((result) =>
    floatTensor(result, "gradient", [undefined, triggerLen, undefined]),
  );
  const hidden = gradients[0]!.shape[2]!;
  const sum = new Float64Array(triggerLen * hidden);
  let samples = 0;
  for (const { data, shape } of gradients) {
    samples += shape[0]!;
    for (let k = 0; k < data.length; k++) sum[k % sum.length]! += data[k]!;
  }
  const mean = Float32Array.from(sum, (value) => value / samples);
  return Array.from({ length: triggerLen }, (_, position) =>
    mean.slice(position * hidden, (position + 1) * hidden),
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
  let scoring = startScoring(candidates.length, { plan, form, stampedLengths, sampleLosses });
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
  };
}

/** Row indexes 0 … rows − 1 in chunks of `size`. */
function chunks(rows: number, size: number): number[][] {
  return Array.from({ length: Math.ceil(rows / size) }, (_, chunk) =>
    Array.from({ length: Math.min(size, rows - chunk * size) }, (_, k) => chunk * size + k),
  );
}
