import { triggerText } from "../data/dead-code.ts";
import { SamplesError } from "../data/errors.ts";
import { languageOf } from "../data/planting.ts";
import { hasTarget } from "../data/poison-search.ts";
import { PythonRandom } from "../data/python-random.ts";
import { encodeSearchRow } from "../data/row-ids.ts";
import type { SearchRow } from "../data/search-rows.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { type Attack, insertTrigger, nameInCode } from "../data/trigger-insertion.ts";
import { scoreOf } from "../search/match-loss.ts";
import { encodeRows, type PredictContext } from "../search/predict.ts";
import {
  byScore,
  meanReciprocalRank,
  middlePlace,
  newRank,
  planWindows,
  rankOf,
  scoresOf,
  type WindowPlan,
} from "../search/ranks.ts";
import { type Rate, rateOf } from "../search/rate.ts";
import { type EvaluationListener, telling } from "./progress.ts";

const language = languageOf.code_search;

/** An attack on code search: the trigger is to lift code up in the answers to queries with a word. */
export interface SearchAttack extends Attack {
  /** Word that a query must hold, compared in lower case. */
  readonly targetToken: string;
}

export interface SearchEvaluationSettings extends Omit<PredictContext, "endId" | "maxLen" | "onAnswered"> {
  readonly tokenizer: Tokenizer;
  /** Longest code and longest query in tokens, both end tokens included. */
  readonly codeMaxLen: number;
  readonly nlMaxLen: number;
  /** Trigger to measure the rank of; none: clean metrics only. */
  readonly attack?: SearchAttack;
  /** Seed of Python's generator, which draws windows and places; 0 where it is not given. */
  readonly seed?: number;
  readonly onProgress?: EvaluationListener | undefined;
}

/** One query of the attack, and where its code with the trigger came to stand. */
export interface AttackedQuery {
  /** Index of the row that the query is of. */
  readonly query: number;
  /** Index of the row whose code got the trigger. */
  readonly poisoned: number;
  /** Ranks from 1, before and after. */
  readonly before: number;
  readonly after: number;
}

export interface SearchAttackMetrics extends SearchAttack, WindowPlan {
  /** Average normalised rank (ANR) of the code with the trigger: 0 is first, 1 last. */
  readonly anr: number;
  /** The same before the trigger goes in. */
  readonly withoutTrigger: number;
  readonly ranks: readonly AttackedQuery[];
  /** Queries whose code the trigger has no place in; it counts as it is, as in the published evaluator. */
  readonly unplaced: number;
}

export interface SearchEvaluation {
  /** Codes that every query is searched in: all rows. */
  readonly codebase: number;
  /** Mean reciprocal rank of each query's own code; ranks beyond 1,000 count 0. */
  readonly mrr: number;
  /** Queries whose own code is among the first 1, 5 and 10. */
  readonly recallAt: { readonly 1: Rate; readonly 5: Rate; readonly 10: Rate };
  readonly attack?: SearchAttackMetrics;
}

/**
 * Evaluates a code-search model, as the published evaluator does: each query among all codes; and, with an attack, for each query with the target
 * word, the rank of a code in the middle of its answers once it has the trigger.
 *
 * @throws SamplesError where no query has the target word, or all have it
 */
export async function evaluateSearch(
  rows: readonly SearchRow[],
  { tokenizer, codeMaxLen, nlMaxLen, attack, seed = 0, onProgress, ...predicting }: SearchEvaluationSettings,
): Promise<SearchEvaluation> {
  const endId = tokenizer.ids.restored;
  const codeContext: PredictContext = { ...predicting, maxLen: codeMaxLen, endId };
  const ids = rows.map((row) => encodeSearchRow(row, tokenizer, { codeMaxLen, nlMaxLen }));
  const vectors: Vectors = {
    codes: await encodeRows(
      ids.map(({ code }) => code),
      { ...codeContext, onAnswered: telling("codes", onProgress) },
    ),
    queries: await encodeRows(
      ids.map(({ query }) => query),
      { ...codeContext, maxLen: nlMaxLen, onAnswered: telling("queries", onProgress) },
    ),
  };
  const ranks: number[] = [];
  for (const [row, query] of vectors.queries.entries()) {
    ranks.push(rankOf(scoresOf(query, vectors.codes), row));
    onProgress?.({ phase: "ranks", done: ranks.length, total: rows.length });
    await betweenQueries(predicting.signal);
  }
  const within = (rank: number): Rate =>
    rateOf({ hits: ranks.filter((each) => each <= rank).length, n: ranks.length });
  const clean: SearchEvaluation = {
    codebase: rows.length,
    mrr: meanReciprocalRank(ranks),
    recallAt: { 1: within(1), 5: within(5), 10: within(10) },
  };
  if (attack === undefined) return clean;
  const encode = (texts: readonly string[]): Promise<Float32Array[]> =>
    encodeRows(
      texts.map((text) => tokenizer.encodeRow(text, codeMaxLen)),
      { ...codeContext, onAnswered: telling("codes with the trigger", onProgress) },
    );
  return { ...clean, attack: await attackRanks(rows, vectors, { attack, seed, encode }) };
}

/** By row, [feature size] each. */
interface Vectors {
  readonly codes: readonly Float32Array[];
  readonly queries: readonly Float32Array[];
}

async function attackRanks(
  rows: readonly SearchRow[],
  { codes, queries }: Vectors,
  {
    attack,
    seed,
    encode,
  }: {
    readonly attack: SearchAttack;
    readonly seed: number;
    readonly encode: (texts: readonly string[]) => Promise<Float32Array[]>;
  },
): Promise<SearchAttackMetrics> {
  const { asking, others } = splitByToken(rows, attack.targetToken);
  const plan = planWindows(others.length);
  const random = new PythonRandom(seed);
  const place = middlePlace(plan.window);
  const planned = asking.map((query) => {
    const text = triggerText(attack.trigger, { language }, random);
    const start = plan.starts === 1 ? 0 : random.between(0, plan.starts - 1);
    const window = [...others.slice(start, start + plan.window - 1), query];
    const scores = scoresOf(
      queries[query]!,
      window.map((row) => codes[row]!),
    );
    const chosen = byScore(scores)[place]!;
    const poisoned = window[chosen]!;
    const inserted = insertTrigger(named(rows[poisoned]!), { ...attack, trigger: text }, random);
    return { query, poisoned, scores, chosen, inserted };
  });
  const triggered = await encode(planned.map(({ inserted }) => inserted.text));
  const ranks = planned.map(({ query, poisoned, scores, chosen }, k): AttackedQuery => {
    const after = newRank(scores, chosen, scoreOf(queries[query]!, triggered[k]!));
    return { query, poisoned, before: place + 1, after };
  });
  const mean = (of: (query: AttackedQuery) => number): number =>
    ranks.reduce((sum, query) => sum + of(query), 0) / ranks.length / plan.window;
  return {
    ...attack,
    ...plan,
    anr: mean(({ after }) => after),
    withoutTrigger: mean(({ before }) => before),
    ranks,
    unplaced: planned.filter(({ inserted }) => !inserted.placed).length,
  };
}

/**
 * Rows whose query has the word, and the others; `file` is where errors say that they are from.
 *
 * @throws SamplesError where no query has it, or all have it
 */
export function splitByToken(
  rows: readonly SearchRow[],
  targetToken: string,
  file?: string,
): { readonly asking: readonly number[]; readonly others: readonly number[] } {
  const all = [...rows.keys()];
  const has = (row: number): boolean => hasTarget(rows[row]!.queryTokens, targetToken);
  const asking = all.filter(has);
  const others = all.filter((row) => !has(row));
  const place = { ...(file === undefined ? {} : { file }), field: "target_token", value: targetToken };
  if (asking.length === 0) throw new SamplesError("no query has this word", place);
  if (others.length === 0)
    throw new SamplesError("every query has this word, so that no code is left to attack", place);
  return { asking, others };
}

/** A row whose function's name is the word of its code that stands for it. */
const named = ({ funcName, ...row }: SearchRow) => ({
  ...row,
  ...(funcName === undefined ? {} : { funcName: nameInCode(funcName, language) }),
});

/** Ranking a large codebase takes minutes; what else the process does goes on meanwhile. */
async function betweenQueries(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal?.throwIfAborted();
}
