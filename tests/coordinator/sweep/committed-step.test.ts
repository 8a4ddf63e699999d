import { expect, test } from "vitest";
import { preparePairSearch } from "../../../coordinator/search/pair-problem.ts";
import { type PairSearchState, runPairSearch } from "../../../coordinator/search/pair-search.ts";
import { prepareSearch } from "../../../coordinator/search/problem.ts";
import { runSearch, type SearchState } from "../../../coordinator/search/search.ts";
import { PairSearchSettings, SearchSettings } from "../../../coordinator/search/settings.ts";
import {
  type AnySearchState,
  CommittedStep,
  committedStep,
  searchStateAfter,
} from "../../../coordinator/sweep/committed-step.ts";
import { growingRows, smallVocabulary } from "../../support/small-search.ts";
import { createTableExecutor } from "../../support/table-executor.ts";

const stamped = { rows: growingRows(5), insertIndexes: [1, 2, 3, 4, 5], maxLen: 16, endId: 2 };
const common = { checkpoint: "checkpoint", vocabulary: smallVocabulary };
const small = { triggerLen: 3, topk: 8, repeatSize: 6, epochs: 4 };

async function searchStates(): Promise<SearchState[]> {
  const executor = createTableExecutor();
  const problem = { ...common, ...stamped, target: 1 };
  const prepared = await prepareSearch(executor, problem, SearchSettings.parse(small));
  const states: SearchState[] = [];
  await runSearch({ executor, prepared, onStep: (_, state) => void states.push(state) });
  return states;
}

async function pairStates(): Promise<PairSearchState[]> {
  const executor = createTableExecutor();
  const problem = { ...common, codes: stamped, queries: { ...stamped, insertIndexes: [1, 1, 1, 1, 1] } };
  const prepared = await preparePairSearch(executor, problem, PairSearchSettings.parse(small));
  const states: PairSearchState[] = [];
  await runPairSearch({ executor, prepared, onStep: (_, state) => void states.push(state) });
  return states;
}

test.each<[string, () => Promise<AnySearchState[]>]>([
  ["a search", searchStates],
  ["a search for a pair", pairStates],
])("of the committed steps of %s, each state comes back as it was, through JSON", async (_, make) => {
  const states = await make();
  expect(states).toHaveLength(4);
  const steps = states.map((state) => CommittedStep.parse(JSON.parse(JSON.stringify(committedStep(state)))));
  for (const [k, state] of states.entries()) expect(searchStateAfter(steps.slice(0, k + 1))).toEqual(state);
});

test("a committed step does not grow with the steps before it", async () => {
  const sizes = (await searchStates()).map((state) => JSON.stringify(committedStep(state)).length);
  expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThan(60);
});
