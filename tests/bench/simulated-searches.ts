import { prepareSearch } from "../../coordinator/search/problem.ts";
import { runSearch, type SearchState } from "../../coordinator/search/search.ts";
import { SearchSettings } from "../../coordinator/search/settings.ts";
import { digestOf } from "../../proto/canonical-json.ts";
import type { Executor } from "../../proto/operations.ts";
import { uniform } from "../support/uniform.ts";
import { LANDSCAPE_VOCABULARY } from "./landscape.ts";

const SAMPLES = 30;
const MAX_LEN = 400;
/** Searches of one model: its two label directions. */
const SEARCHES_OF_A_MODEL = 2;

export type SimulatedPlan = Pick<Partial<SearchSettings>, "pruneBlock" | "roundTiles" | "gradientRows">;

/** Candidates × samples of all searches together, up to their last whole step. */
export interface Forwards {
  readonly done: number;
  readonly pruned: number;
}

export interface SimulatedSearches {
  forwards(): Forwards;
  /** Resolves when all have ended after the signal's abort. */
  readonly ended: Promise<unknown>;
}

/** A search on each executor, over rows of 60 to 400 tokens, until the signal aborts. */
export function runSimulatedSearches(
  executors: readonly Pick<Executor, "execute" | "putArtifact">[],
  plan: SimulatedPlan,
  signal: AbortSignal,
): SimulatedSearches {
  const vocabulary = Array.from({ length: LANDSCAPE_VOCABULARY }, (_, id) => id);
  const states: SearchState[] = [];
  const work = async (executor: (typeof executors)[number], k: number): Promise<void> => {
    const draw = uniform(k + 1);
    const rows = Array.from({ length: SAMPLES }, () =>
      new Array<number>(60 + Math.floor(draw() * (MAX_LEN - 60))).fill(k),
    );
    const problem = {
      checkpoint: digestOf(`model ${Math.floor(k / SEARCHES_OF_A_MODEL)}`),
      rows,
      insertIndexes: rows.map(() => 1),
      maxLen: MAX_LEN,
      endId: 2,
      vocabulary,
      target: 0,
    };
    const endless = { epochs: Number.MAX_SAFE_INTEGER, patience: 0, targetLoss: 0 };
    const settings = SearchSettings.parse({ seed: k, ...endless, ...plan });
    const prepared = await prepareSearch(executor, problem, settings);
    const onStep = (_: unknown, after: SearchState) => {
      states[k] = after;
    };
    // A signal for each, as scans have: many listeners of one would look like a leak.
    const own = AbortSignal.any([signal]);
    await runSearch({ executor, prepared, signal: own, onStep }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  };
  return {
    forwards: () => {
      const sum = (of: keyof Forwards) =>
        states.reduce((total, state) => total + (state?.forwards[of] ?? 0), 0);
      return { done: sum("done"), pruned: sum("pruned") };
    },
    ended: Promise.all(executors.map(work)),
  };
}

/** Percent of the forwards between two moments that were pruned. */
export function shareOf(before: Forwards, after: Forwards): number {
  const pruned = after.pruned - before.pruned;
  return (100 * pruned) / (pruned + after.done - before.done);
}
