/**
 * Exact pruning (DESIGN 5.8): candidates are scored in rounds of sample-major tiles, and a candidate whose partial sum
 * already exceeds the best complete total of this step is scored no further. Losses are never negative, so its total
 * cannot win; winner and winner's loss are those of scoring everything.
 *
 * Everything here is a pure function of the plan and of earlier rounds; who computed a tile, and when, plays no part.
 */
import { addTo, type LossForm, meanOf } from "./loss.ts";
import { evenGroups, type Tile } from "./tiles.ts";

/** What fixes rounds and tiles. Other plans give the same winner; only the work differs. */
export interface TilePlan {
  readonly pruning: boolean;
  /** Samples per round once the first candidates are complete; larger keeps more workers busy and prunes less. */
  readonly pruneBlock: number;
  /** Tiles that such a round has at least, as long as there are as many: one for each worker that a search is to keep busy. */
  readonly roundTiles: number;
  /** Samples that all candidates are scored on first. */
  readonly diveSamples: number;
  /** Candidates that are then scored on all samples. */
  readonly diveCandidates: number;
}

/** What a step knows of its candidates' losses so far. */
export interface Scoring {
  readonly plan: TilePlan;
  readonly form: LossForm;
  readonly candidates: number;
  /** Per sample: the most candidates that one tile of it holds. */
  readonly tileSizes: readonly number[];
  /** Losses that a total is the sum of, to make the mean from it. */
  readonly summands: number;
  /** Samples, those first that are likeliest to exclude a candidate for what they cost. */
  readonly order: readonly number[];
  /** [candidates × samples]; NaN where not scored. */
  readonly losses: Float64Array;
  readonly dropped: readonly boolean[];
  /** What a loss may be off by: 0, but for those in half precision. */
  readonly slack: number;
  /** Rounds absorbed so far. */
  readonly round: number;
}

/** What a finished step says of one candidate. */
export type CandidateScore =
  | { readonly kind: "complete"; readonly total: number; readonly mean: number }
  /** The mean over all samples is larger than `bound`. */
  | { readonly kind: "pruned"; readonly bound: number };

/**
 * @param sampleLosses loss of each sample at the current trigger
 * @param costs what it costs to score a candidate on each sample, in any unit: its tokens. Samples are scored by loss per cost, the highest first, ties to
 *   the lower index; absent: all cost the same
 * @param summands losses of all samples together, where a sample stands for several that are added up elsewhere
 */
export function startScoring(
  candidates: number,
  {
    plan,
    form,
    tileSizes,
    sampleLosses,
    costs,
    summands = tileSizes.length,
    slack = 0,
  }: Pick<Scoring, "plan" | "form" | "tileSizes"> & {
    readonly sampleLosses: ArrayLike<number>;
    readonly costs?: readonly number[];
    readonly summands?: number;
    readonly slack?: number;
  },
): Scoring {
  const order = tileSizes.map((_, sample) => sample);
  const hardness = order.map((sample) => sampleLosses[sample]! / (costs?.[sample] ?? 1));
  order.sort((a, b) => hardness[b]! - hardness[a]! || a - b);
  return {
    plan,
    form,
    candidates,
    tileSizes,
    summands,
    order,
    losses: new Float64Array(candidates * tileSizes.length).fill(Number.NaN),
    dropped: new Array<boolean>(candidates).fill(false),
    slack,
    round: 0,
  };
}

/** The next round's tiles; none when every candidate is complete or dropped. */
export function planRound(scoring: Scoring): Tile[] {
  const { plan, order } = scoring;
  const open = openCandidates(scoring);
  if (!plan.pruning) return tilesOf(scoring, order, open);
  if (scoring.round === 0) return tilesOf(scoring, order.slice(0, plan.diveSamples), open);
  if (scoring.round === 1)
    return tilesOf(scoring, order, leastPartialSums(scoring, open, plan.diveCandidates));
  const isOpen = (sample: number): boolean => open.some((candidate) => !isScored(scoring, candidate, sample));
  const rest = order.filter(isOpen);
  const [block, later] = splitAt(rest, blockOf(scoring, rest, open));
  return [...tilesOf(scoring, block, open), ...tilesOf(scoring, later, likelyBetter(scoring, open))];
}

const splitAt = <T>(items: readonly T[], at: number): [T[], T[]] => [items.slice(0, at), items.slice(at)];

/**
 * The open candidate with the lowest partial sum, where the best complete one's is higher on the same samples: complete at once, it excludes what the best
 * so far cannot. Without it, a step whose first complete candidates are bad ones prunes next to nothing.
 */
function likelyBetter(scoring: Scoring, open: readonly number[]): number[] {
  const best = bestComplete(scoring);
  const [promising] = leastPartialSums(scoring, open, 1);
  if (best === undefined || promising === undefined) return [];
  const scored = (sample: number): boolean => isScored(scoring, promising, sample);
  return partialSum(scoring, promising) < partialSum(scoring, best, scored) ? [promising] : [];
}

/** Samples of a block: `pruneBlock`, or as many as it takes to make `roundTiles` tiles when few candidates are left. */
function blockOf(scoring: Scoring, rest: readonly number[], open: readonly number[]): number {
  const { pruneBlock, roundTiles } = scoring.plan;
  let block = 0;
  let tiles = 0;
  for (const sample of rest) {
    if (block >= pruneBlock && tiles >= roundTiles) break;
    tiles += tilesOf(scoring, [sample], open).length;
    block++;
  }
  return block;
}

/** Adds a round's losses (one list per tile, in the tile's candidate order) and drops what can no longer win. */
export function absorb(
  scoring: Scoring,
  tiles: readonly Tile[],
  results: readonly ArrayLike<number>[],
): Scoring {
  const samples = scoring.tileSizes.length;
  const losses = Float64Array.from(scoring.losses);
  for (const [t, tile] of tiles.entries()) {
    for (const [k, candidate] of tile.candidates.entries()) {
      const loss = results[t]?.[k];
      if (loss === undefined || !Number.isFinite(loss))
        throw new Error(
          `loss of candidate ${candidate} on sample ${tile.sample} is ${loss}, not a finite number`,
        );
      losses[candidate * samples + tile.sample] = loss;
    }
  }
  const next = { ...scoring, losses, round: scoring.round + 1 };
  return scoring.plan.pruning ? { ...next, dropped: dropHopeless(next) } : next;
}

/** Scores of all candidates once `planRound` gives no more tiles. */
export function finishScoring(scoring: Scoring): CandidateScore[] {
  const { summands, form } = scoring;
  return Array.from({ length: scoring.candidates }, (_, candidate) => {
    if (!isComplete(scoring, candidate))
      return { kind: "pruned", bound: lowerBound(scoring, candidate) / summands } as const;
    const total = partialSum(scoring, candidate);
    return { kind: "complete", total, mean: meanOf(total, summands, form) } as const;
  });
}

/** Index of the candidate with the lowest total, ties to the lower index. */
export function winnerOf(scores: readonly CandidateScore[]): number {
  let winner = -1;
  let least = Number.POSITIVE_INFINITY;
  for (const [k, score] of scores.entries()) {
    if (score.kind === "complete" && score.total < least) [winner, least] = [k, score.total];
  }
  return winner;
}

/** The complete candidate with the lowest total, ties to the lower index. */
function bestComplete(scoring: Scoring): number | undefined {
  const complete = Array.from({ length: scoring.candidates }, (_, k) => k).filter((k) =>
    isComplete(scoring, k),
  );
  return leastPartialSums(scoring, complete, 1)[0];
}

function dropHopeless(scoring: Scoring): boolean[] {
  const best = bestTotal(scoring);
  return scoring.dropped.map(
    (dropped, candidate) =>
      dropped || (!isComplete(scoring, candidate) && lowerBound(scoring, candidate) > best),
  );
}

/** At least the best total: the lowest complete one, with all that its losses may be off by; infinite where none is complete. */
export function bestTotal(scoring: Scoring): number {
  const complete = bestComplete(scoring);
  const best = complete === undefined ? Number.POSITIVE_INFINITY : partialSum(scoring, complete);
  return best + scoring.slack * scoring.tileSizes.length;
}

/** At most the total that the candidate would have: its partial sum, less what rounding of two sums and its losses' slack can make up. */
export function lowerBound(scoring: Scoring, candidate: number): number {
  const scored = scoring.slack === 0 ? 0 : scoredSamples(scoring, candidate);
  return partialSum(scoring, candidate) * (1 - scoring.tileSizes.length * 2 ** -52) - scoring.slack * scored;
}

function scoredSamples(scoring: Scoring, candidate: number): number {
  return scoring.order.filter((sample) => isScored(scoring, candidate, sample)).length;
}

/** Sum of the candidate's losses known so far, in index order of samples; of those that `counts` names alone. */
function partialSum(
  { losses, tileSizes, form }: Scoring,
  candidate: number,
  counts: (sample: number) => boolean = () => true,
): number {
  const samples = tileSizes.length;
  let sum = 0;
  for (let sample = 0; sample < samples; sample++) {
    const loss = losses[candidate * samples + sample]!;
    if (!Number.isNaN(loss) && counts(sample)) sum = addTo(sum, loss, form);
  }
  return sum;
}

function isComplete({ losses, tileSizes }: Scoring, candidate: number): boolean {
  const samples = tileSizes.length;
  for (let k = candidate * samples; k < (candidate + 1) * samples; k++)
    if (Number.isNaN(losses[k]!)) return false;
  return true;
}

const isScored = (scoring: Scoring, candidate: number, sample: number): boolean =>
  !Number.isNaN(scoring.losses[candidate * scoring.tileSizes.length + sample]!);

function openCandidates(scoring: Scoring): number[] {
  return scoring.dropped.flatMap((dropped, k) => (dropped || isComplete(scoring, k) ? [] : [k]));
}

/** The `count` candidates with the lowest partial sums, ties to the lower index: ascending. One pass, since a step of code search has thousands. */
function leastPartialSums(scoring: Scoring, open: readonly number[], count: number): number[] {
  const least: { candidate: number; sum: number }[] = [];
  for (const candidate of open) {
    const sum = partialSum(scoring, candidate);
    if (least.length === count && !(sum < least[count - 1]!.sum)) continue;
    let at = least.length;
    while (at > 0 && sum < least[at - 1]!.sum) at--;
    least.splice(at, 0, { candidate, sum });
    if (least.length > count) least.pop();
  }
  return least.map(({ candidate }) => candidate).sort((a, b) => a - b);
}

/** Tiles for what is not yet scored of samples × candidates, sample-major, groups of even size. */
function tilesOf(scoring: Scoring, samples: readonly number[], candidates: readonly number[]): Tile[] {
  return samples.flatMap((sample) => {
    const missing = candidates.filter((candidate) => !isScored(scoring, candidate, sample));
    return evenGroups(missing, scoring.tileSizes[sample]!).map((group) => ({ sample, candidates: group }));
  });
}
