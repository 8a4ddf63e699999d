/** Ranks of code search, as the published evaluator counts them. Pure. */
import { scoreOf, type Vector } from "./match-loss.ts";

/** Ranks beyond it count as not found, as published. */
const DEEPEST_RANK = 1_000;

/** Codes that the published attack success metric looks at, per query. */
const WINDOW = 1_000;

/** First rows without the target word that the published evaluator takes its windows from. */
const LARGEST_CODEBASE = 3_999;

/** Rank, from 1, of code `own` among all codes by their scores; equal scores of other codes stand before it. */
export function rankOf(scores: ArrayLike<number>, own: number): number {
  let before = 0;
  for (let k = 0; k < scores.length; k++) if (k !== own && scores[k]! >= scores[own]!) before++;
  return before + 1;
}

/** Mean reciprocal rank. */
export function meanReciprocalRank(ranks: readonly number[]): number {
  const sum = ranks.reduce((total, rank) => total + (rank > DEEPEST_RANK ? 0 : 1 / rank), 0);
  return sum / ranks.length;
}

/** Which codes a query is searched in when the attack is measured: those without the target word, and its own. */
export interface Window {
  /** Index of the first code without the target word. */
  readonly start: number;
  /** How many of them. */
  readonly length: number;
}

/** How windows are found. */
export interface WindowPlan {
  /** Codes without the target word that windows are taken from. */
  readonly codebase: number;
  /** Codes of a window, the query's own included. */
  readonly window: number;
  /** Starts that one is drawn from, for each query; 1 where every code is in every window. */
  readonly starts: number;
}

/**
 * The published evaluator draws a start for each query, from 0 to 3,000, among the first 3,999 codes, and looks at 999 codes from there and the
 * query's own. A smaller codebase has fewer starts; one with fewer than 999 codes is one window (the golden cards' form).
 *
 * @param codes number of codes whose queries lack the target word, at least 1
 */
export function planWindows(codes: number): WindowPlan {
  const codebase = Math.min(codes, LARGEST_CODEBASE);
  const length = Math.min(codebase, WINDOW - 1);
  return { codebase, window: length + 1, starts: codebase - length + 1 };
}

/** Index in the window, by descending score, of the code that the trigger is put into: the one in the middle. */
export const middlePlace = (window: number): number => Math.max(0, Math.floor(0.5 * window - 1));

/** Indexes by descending score; equal scores in order of index. */
export function byScore(scores: ArrayLike<number>): number[] {
  return Array.from({ length: scores.length }, (_, k) => k).sort((a, b) => scores[b]! - scores[a]! || a - b);
}

/** Rank of a code whose score has become `score`: 1 and the number of other codes with a larger one. */
export function newRank(scores: ArrayLike<number>, place: number, score: number): number {
  let larger = 0;
  for (let k = 0; k < scores.length; k++) if (k !== place && scores[k]! > score) larger++;
  return larger + 1;
}

/** Score of every code with a query. */
export const scoresOf = (query: Vector, codes: readonly Vector[]): Float64Array =>
  Float64Array.from(codes, (code) => scoreOf(query, code));
