/**
 * Half precision with the winner of single precision (DESIGN 5.8): losses in half precision exclude candidates whose total must be
 * larger than the best even if every loss is off by the measured error; the others are scored again in single precision.
 *
 * Everything here is a pure function of losses.
 */
import { bestTotal, type CandidateScore, lowerBound, type Scoring } from "./rounds.ts";

/** Losses of other triggers may be off by more than those that were measured; what is found later widens it further. */
const SAFETY = 4;

/** What a loss in half precision may be off by, from losses of the same rows in both. */
export function slackFrom(half: ArrayLike<number>, single: ArrayLike<number>): number {
  let largest = 0;
  for (let k = 0; k < half.length; k++) {
    if (!Number.isNaN(half[k]!) && !Number.isNaN(single[k]!))
      largest = Math.max(largest, Math.abs(half[k]! - single[k]!));
  }
  return SAFETY * largest;
}

/** Candidates that half precision does not exclude: their total may be as low as `best`. */
export const notExcluded = (half: Scoring, best: number = bestTotal(half)): Set<number> =>
  new Set(
    Array.from({ length: half.candidates }, (_, candidate) => candidate).filter(
      (candidate) => lowerBound(half, candidate) <= best,
    ),
  );

/** A scoring in single precision that is to score these candidates alone. */
export const only = (single: Scoring, candidates: ReadonlySet<number>): Scoring => ({
  ...single,
  dropped: single.dropped.map((_, candidate) => !candidates.has(candidate)),
});

/** The two scorings after some of the candidates were scored in single precision. */
export interface Compared {
  /** With the error that the losses in both show, where it is larger than the one before. */
  readonly half: Scoring;
  /** Open for candidates that have to be scored too, now that the error is known better. */
  readonly single: Scoring;
  /** Candidates that were or are to be scored in single precision. */
  readonly wanted: ReadonlySet<number>;
}

/** What follows from new losses in single precision; nothing is open where the winner is certain. */
export function compare(half: Scoring, single: Scoring, wanted: ReadonlySet<number>): Compared {
  const slack = Math.max(half.slack, slackFrom(half.losses, single.losses));
  const widened = { ...half, slack };
  const all = notExcluded(widened, bestTotal(single));
  const added = new Set([...all].filter((candidate) => !wanted.has(candidate)));
  return {
    half: widened,
    single: {
      ...single,
      dropped: single.dropped.map((dropped, candidate) => dropped && !added.has(candidate)),
    },
    wanted: new Set([...wanted, ...added]),
  };
}

/** A candidate's score in single precision; where it was not scored, half precision bounds it. */
export const mergedScores = (
  single: readonly CandidateScore[],
  half: Scoring,
  wanted: ReadonlySet<number>,
): CandidateScore[] =>
  single.map((score, candidate) =>
    wanted.has(candidate)
      ? score
      : { kind: "pruned", bound: Math.max(0, lowerBound(half, candidate) / half.summands) },
  );
