/** One step of a search for trigger and target together: gradient, rank, candidates, score (DESIGN 5.6). */
import type {
  EncodeOperation,
  Executor,
  GradientOperation,
  OperationResult,
  ScorePairsOperation,
  Tensor,
} from "../../proto/operations.ts";
import { encodeTensors } from "../../proto/tensors.ts";
import type { Trigger } from "./candidates.ts";
import { withArtifacts } from "./lent-artifacts.ts";
import { matchLoss, matchSlopes } from "./match-loss.ts";
import type { Pair, PreparedPairSearch, PreparedRows } from "./pair-problem.ts";
import { doubles, floatRows, intRows } from "./results.ts";
import { absorb, finishScoring, planRound, startScoring, winnerOf } from "./rounds.ts";
import { inForm } from "./settings.ts";
import { chunks, gradientReads, totalGradient } from "./step.ts";
import { evenGroups, type Tile, tileSizesOf } from "./tiles.ts";

export interface PairStepContext {
  readonly executor: Pick<Executor, "execute" | "putArtifact" | "releaseArtifact">;
  readonly prepared: PreparedPairSearch;
  readonly signal?: AbortSignal | undefined;
}

/** What the gradient at the current pair says. */
export interface PairRanking {
  /** Ids per position with the largest −gradient, largest first: [trigger_len, topk]. */
  readonly topk: readonly (readonly number[])[];
  /** The same of the target: [target_len, topk]. */
  readonly targetTopk: readonly (readonly number[])[];
  /** Mean of (score − 1)² at the pair. */
  readonly meanLoss: number;
  /** Per query: its summands, added up over the codes. */
  readonly queryLosses: readonly number[];
}

/** The vectors of all rows of one part of a pair, with these tokens in them. */
export interface EncodedRows {
  readonly tokens: Trigger;
  readonly vectors: readonly Float32Array[];
}

/** Both parts of a pair, as candidates are encoded. */
export interface EncodedPair {
  readonly codes: EncodedRows;
  readonly queries: EncodedRows;
}

/**
 * Gradient of the loss at a pair with respect to both parts, and the ids that it ranks first.
 *
 * @param encoded what the step before encoded, of any pair: a part that is the same is not encoded again. On a CPU a row's vector does not depend
 *   on the rows beside it, so no bit changes
 */
export async function rankPairAt(
  pair: Pair,
  context: PairStepContext,
  encoded?: EncodedPair,
): Promise<PairRanking> {
  const { codes, queries } = context.prepared;
  const [codeVectors, queryVectors] = await Promise.all([
    encodeRows(codes, pair.trigger, context, encoded?.codes),
    encodeRows(queries, pair.target, context, encoded?.queries),
  ]);
  const slopes = matchSlopes(queryVectors, codeVectors);
  const { mean, queryLosses } = matchLoss(queryVectors, codeVectors);
  const [topk, targetTopk] = await Promise.all([
    rankSide(codes, pair.trigger, slopes.codes, context),
    rankSide(queries, pair.target, slopes.queries, context),
  ]);
  return { topk, targetTopk, meanLoss: mean, queryLosses };
}

/** Vectors of a side's rows with a trigger or target, each at its own index. */
async function encodeRows(
  side: PreparedRows,
  tokens: Trigger,
  { executor, prepared, signal }: PairStepContext,
  encoded: EncodedRows | undefined,
): Promise<readonly Float32Array[]> {
  const atOwnIndexes = side.scoreSamples === side.gradientSamples;
  if (encoded !== undefined && atOwnIndexes && sameTokens(encoded.tokens, tokens)) return encoded.vectors;
  const operations = chunks(side.stampedLengths.length, prepared.settings.gradientRows).map(
    (rows): EncodeOperation => ({
      kind: "encode",
      checkpoint: prepared.problem.checkpoint,
      samples: side.gradientSamples,
      rows,
      ...stampedWith([tokens]),
      ...inForm(prepared.settings.programForm),
    }),
  );
  const results = await executor.execute(operations, signal);
  return results.flatMap((result, k) => floatRows(result, "features", operations[k]!.rows.length));
}

const sameTokens = (a: Trigger, b: Trigger): boolean =>
  a.length === b.length && a.every((id, at) => id === b[at]);

/** Triggers of no tokens leave the rows as they are. */
const stampedWith = (triggers: readonly Trigger[]): Pick<EncodeOperation, "triggers"> =>
  triggers[0]!.length === 0 ? {} : { triggers };

/** One part's gradient, from each row's vector times the loss's slope there, and its best ids per position. */
async function rankSide(
  side: PreparedRows,
  tokens: Trigger,
  slopes: readonly Float32Array[],
  { executor, prepared, signal }: PairStepContext,
): Promise<number[][]> {
  if (tokens.length === 0) return [];
  const { problem, settings, vocabulary } = prepared;
  const { checkpoint } = problem;
  const operations = chunks(slopes.length, settings.gradientRows).map(
    (rows): GradientOperation => ({
      kind: "gradient",
      checkpoint,
      samples: side.gradientSamples,
      rows,
      trigger: tokens,
      objective: { kind: "vectors", slopes: rows.map((row) => slopes[row]!) },
      ...gradientReads(settings.gradient),
    }),
  );
  // The slopes are of the mean loss already: rows are added up.
  const gradient = totalGradient(await executor.execute(operations, signal), tokens.length, 1);
  const topk = Math.min(settings.topk, problem.vocabulary.length);
  const [ranked] = await executor.execute([{ kind: "rank", checkpoint, vocabulary, gradient, topk }], signal);
  return intRows(ranked!, "ids", [tokens.length, topk]);
}

/** Losses of every pair of a trigger and a target; rows of the matrices are triggers, columns targets. */
export interface ScoredPairs {
  /** Mean loss of each pair; null where it was pruned. */
  readonly losses: readonly (readonly (number | null)[])[];
  /** Where a loss is null: the pair's mean loss is larger than this. */
  readonly bounds: readonly (readonly (number | null)[])[];
  /** Indexes of the trigger and the target with the lowest total, ties to the first in row-major order. */
  readonly winner: readonly [number, number];
  readonly winnerLoss: number;
  /** The winner's vectors, for the step that starts from it. */
  readonly winnerVectors: EncodedPair;
  /** Blocks of the pairs' score matrices that were computed; the rest of the grid was pruned. */
  readonly blocks: number;
}

/** Queries of one summand of a pair's loss. Part of the plan: sums are made in blocks. Smaller ones prune more, and cost more runs. */
export const QUERIES_PER_BLOCK = 10;

/** Pairs of one operation, at most. */
const PAIRS_PER_OPERATION = 512;

/** A pair's loss is complete after few products, so all meet the hardest queries first and the best two go to the end. */
const pairPlan = { diveSamples: 1, diveCandidates: 2, pruneBlock: 1, roundTiles: 1 } as const;

/**
 * Scores every trigger with every target: encodes triggers × codes and targets × queries once, then multiplies block by block.
 *
 * @param queryLosses per query, its loss at the current pair: the blocks with the largest come first
 * @param onEncoded hears how many forwards (encodings) were done
 */
export async function scorePairs(
  triggers: readonly Trigger[],
  targets: readonly Trigger[],
  queryLosses: readonly number[],
  {
    onEncoded,
    pruning,
    ...context
  }: PairStepContext & { readonly onEncoded?: (forwards: number) => void; readonly pruning: boolean },
): Promise<ScoredPairs> {
  const { codes, queries, problem } = context.prepared;
  const encoded = await Promise.all([
    encodeCandidates(codes, triggers, context, onEncoded),
    encodeCandidates(queries, targets, context, onEncoded),
  ]);
  const lent = encoded.map((vectors) => encodeTensors({ vectors }));
  const pairs = triggers.flatMap((_, t) => targets.map((__, g) => [t, g] as const));
  const n = problem.queries.rows.length;
  const blocks = chunks(n, QUERIES_PER_BLOCK);
  let scoring = startScoring(pairs.length, {
    plan: { ...pairPlan, pruning },
    form: "float64",
    tileSizes: blocks.map(() => PAIRS_PER_OPERATION),
    sampleLosses: blocks.map((rows) => rows.reduce((sum, row) => sum + queryLosses[row]!, 0)),
    summands: n * n,
  });
  let done = 0;
  await withArtifacts(context.executor, lent, async ([codeVectors, queryVectors]) => {
    const operationOf = ({ sample, candidates }: Tile): ScorePairsOperation => ({
      kind: "score-pairs",
      checkpoint: problem.checkpoint,
      codes: codeVectors!,
      queries: queryVectors!,
      rows: blocks[sample]!,
      pairs: candidates.map((pair) => pairs[pair]!),
    });
    for (let tiles = planRound(scoring); tiles.length > 0; tiles = planRound(scoring)) {
      const results = await context.executor.execute(tiles.map(operationOf), context.signal);
      const sums = results.map((result, k) => doubles(result, "sums", tiles[k]!.candidates.length));
      scoring = absorb(scoring, tiles, sums);
      done += tiles.reduce((sum, tile) => sum + tile.candidates.length, 0);
    }
  });
  const scores = finishScoring(scoring);
  const winner = winnerOf(scores);
  const best = scores[winner];
  if (best?.kind !== "complete") throw new Error("a step needs at least one pair");
  const [trigger, target] = pairs[winner]!;
  const matrix = <T>(of: (score: (typeof scores)[number]) => T): T[][] =>
    triggers.map((_, t) => scores.slice(t * targets.length, (t + 1) * targets.length).map(of));
  return {
    losses: matrix((score) => (score.kind === "complete" ? score.mean : null)),
    bounds: matrix((score) => (score.kind === "pruned" ? score.bound : null)),
    winner: [trigger, target],
    winnerLoss: best.mean,
    winnerVectors: {
      codes: { tokens: triggers[trigger]!, vectors: vectorsOf(encoded[0], trigger) },
      queries: { tokens: targets[target]!, vectors: vectorsOf(encoded[1], target) },
    },
    blocks: done,
  };
}

/** How many blocks a step has that prunes nothing. */
export const blocksOf = (pairs: number, queries: number): number =>
  pairs * Math.ceil(queries / QUERIES_PER_BLOCK);

/** Vectors of every row with every candidate, [candidates, rows, feature size]. */
async function encodeCandidates(
  side: PreparedRows,
  candidates: readonly Trigger[],
  { executor, prepared, signal }: PairStepContext,
  onEncoded: ((forwards: number) => void) | undefined,
): Promise<Tensor<Float32Array>> {
  const { problem, settings } = prepared;
  const rows = side.stampedLengths.length;
  const all = candidates.map((_, k) => k);
  const tiles = tileSizesOf(side.stampedLengths, settings.tile).flatMap((size, sample) =>
    evenGroups(all, size).map((group): Tile => ({ sample, candidates: group })),
  );
  const results = await executor.execute(
    tiles.map(
      ({ sample, candidates: group }): EncodeOperation => ({
        kind: "encode",
        checkpoint: problem.checkpoint,
        samples: side.scoreSamples,
        rows: [sample],
        ...stampedWith(group.map((k) => candidates[k]!)),
        ...inForm(settings.programForm),
      }),
    ),
    signal,
  );
  onEncoded?.(rows * candidates.length);
  return gathered(tiles, results, [candidates.length, rows]);
}

function gathered(
  tiles: readonly Tile[],
  results: readonly OperationResult[],
  [candidates, rows]: readonly [number, number],
): Tensor<Float32Array> {
  let data: Float32Array | undefined;
  let size = 0;
  for (const [t, { sample, candidates: group }] of tiles.entries()) {
    const vectors = floatRows(results[t]!, "features", group.length);
    size ||= vectors[0]!.length;
    data ??= new Float32Array(candidates * rows * size);
    for (const [k, candidate] of group.entries()) data.set(vectors[k]!, (candidate * rows + sample) * size);
  }
  return { shape: [candidates, rows, size], data: data! };
}

/** A copy of one candidate's vectors, row by row. */
function vectorsOf({ shape, data }: Tensor<Float32Array>, candidate: number): Float32Array[] {
  const [, rows, size] = shape as [number, number, number];
  return Array.from({ length: rows }, (_, row) => {
    const start = (candidate * rows + row) * size;
    return data.slice(start, start + size);
  });
}

/** Mean loss of each trigger with one target, complete. */
export async function pairLosses(
  triggers: readonly Trigger[],
  target: Trigger,
  context: PairStepContext,
): Promise<number[]> {
  const order = context.prepared.problem.queries.rows.map(() => 0);
  const { losses } = await scorePairs(triggers, [target], order, { ...context, pruning: false });
  return losses.map(([loss]) => loss!);
}
