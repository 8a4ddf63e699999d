import type { StepRecord } from "../../coordinator/search/search.ts";

/** Logits of two programs with float32 sums in another order differ by less than this, of the largest one. */
const LOGITS = 1e-4;
/** The same of losses. */
const LOSSES = 1e-4;
/** Losses that are nearer to each other than this, of their size, are equal to float32: either may be found the lower one. */
const TIE = 2e-6;
/** Ids that both rank among the first, at least: the last ones of a list may have changed places. */
const RANKED = 0.98;

/** How another program's step stands to elibad's. */
export interface Agreement {
  /** Largest difference of a candidate's loss, of its size. */
  readonly loss: number;
  /** Two candidates whose losses are equal to float32 came out in the other order. */
  readonly tie: boolean;
  /** Share of elibad's first ids per position that are the other's, too. */
  readonly ranked: number;
}

/** @throws Error that says what differs by how much */
export function checkLogits(
  ours: readonly (readonly number[])[],
  theirs: readonly (readonly number[])[],
  who: string,
): void {
  const apart = largestDifference(ours.flat(), theirs.flat());
  if (!(apart <= LOGITS))
    throw new Error(`${who}: logits differ from elibad's by ${apart} of the largest, more than ${LOGITS}`);
}

/** max|a − b| ÷ max|a|; NaN where one of them is not finite, infinite where the counts differ. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  const values = Array.from(a);
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const apart = values.reduce((most, value, k) => Math.max(most, Math.abs(value - b[k]!)), 0);
  return apart === 0 ? 0 : apart / largest;
}

/**
 * Compares a step of another program with elibad's on the same trigger and candidates. A null among elibad's losses was pruned.
 *
 * @throws Error where the winners, losses or ranked ids differ by more than rounding
 */
export function agreement(
  ours: Pick<StepRecord, "step" | "losses" | "winner" | "topk">,
  theirs: { readonly losses: readonly number[]; readonly winner: number; readonly topk: StepRecord["topk"] },
  who: string,
): Agreement {
  const known = [...ours.losses.entries()].filter(([, loss]) => loss !== null) as [number, number][];
  const loss = known.reduce(
    (most, [k, value]) => Math.max(most, Math.abs(value - theirs.losses[k]!) / Math.abs(value)),
    0,
  );
  const winners = `step ${ours.step}: the winner is ${ours.winner} (loss ${ours.losses[ours.winner]}); ${who}: ${theirs.winner} (loss ${theirs.losses[theirs.winner]})`;
  if (!(loss <= LOSSES)) throw new Error(`step ${ours.step}, ${who}: losses differ by ${loss}; ${winners}`);
  const best = theirs.losses[theirs.winner]!;
  const tie = theirs.winner !== ours.winner;
  if (tie && !(theirs.losses[ours.winner]! - best <= TIE * Math.abs(best))) throw new Error(winners);
  const ranked = sharedIds(ours.topk, theirs.topk);
  if (!(ranked >= RANKED))
    throw new Error(`step ${ours.step}, ${who}: ${(100 * ranked).toFixed(1)} % of the ranked ids agree`);
  return { loss, tie, ranked };
}

/** Share of the ids in each list of `a` that stand in the same list of `b`. */
export function sharedIds(a: StepRecord["topk"], b: StepRecord["topk"]): number {
  const shared = a.map((ids, position) => {
    const others = new Set(b[position]);
    return ids.filter((id) => others.has(id)).length;
  });
  return shared.reduce((sum, count) => sum + count, 0) / a.flat().length;
}

/** For a scenario's notes. */
export function agreementNote(all: readonly Agreement[], who: string): string {
  const ties = all.filter(({ tie }) => tie).length;
  const of = `${all.length - ties} of ${all.length} steps`;
  const exact = ties === 0 ? of : `${of} (elsewhere two losses are equal to float32)`;
  const loss = Math.max(...all.map((one) => one.loss));
  const ranked = Math.min(...all.map((one) => one.ranked));
  return `${who}: the same winner in ${exact}, losses within ${loss.toExponential(0)}, at least ${(100 * ranked).toFixed(1)} % of the ranked ids`;
}
