import { describe, expect, test } from "vitest";
import { createVisited, deltaOf } from "../../../coordinator/search/candidates.ts";
import { prepareSearch, type SearchProblem } from "../../../coordinator/search/problem.ts";
import {
  runSearch,
  type SearchState,
  type StepRecord,
  type startSearch,
} from "../../../coordinator/search/search.ts";
import { SearchSettings } from "../../../coordinator/search/settings.ts";
import { growingRows, recordSearch, smallVocabulary } from "../../support/small-search.ts";
import { createTableExecutor } from "../../support/table-executor.ts";

const problem: SearchProblem = {
  checkpoint: "checkpoint",
  rows: growingRows(7),
  insertIndexes: [1, 2, 3, 4, 5, 1, 2],
  maxLen: 16,
  endId: 2,
  vocabulary: smallVocabulary,
  target: 1,
};
const small = { triggerLen: 3, topk: 8, repeatSize: 10, epochs: 6 };

/** Runs a search with the given settings and gives its trace and last state. */
async function search(
  changes: Partial<SearchSettings> = {},
  more: { state?: SearchState; replay?: Parameters<typeof startSearch>[1]; stopAfter?: number } = {},
) {
  const executor = createTableExecutor();
  const prepared = await prepareSearch(executor, problem, SearchSettings.parse({ ...small, ...changes }));
  const { stopAfter, ...given } = more;
  const recorded = await recordSearch<StepRecord, SearchState>(
    (hooks) => runSearch({ executor, prepared, ...given, ...hooks }),
    stopAfter,
  );
  return { ...recorded, executor, prepared };
}

test("the same seed gives the same trace, another seed another one", async () => {
  const [first, second, other] = [await search(), await search(), await search({ seed: 1 })];
  expect(JSON.stringify(second.trace)).toBe(JSON.stringify(first.trace));
  expect(other.trace[0]!.trigger).not.toEqual(first.trace[0]!.trigger);
  expect(first.trace).toHaveLength(6);
  expect(first.last.ended).toBe("epochs");
});

const plans = [
  { pruning: false },
  { pruning: false, tile: 20, gradientRows: 2 },
  { tile: 10, pruneBlock: 1 },
  { diveSamples: 1, diveCandidates: 5, pruneBlock: 4, gradientRows: 7 },
];
test.each(plans)("the plan %o gives the same triggers, candidates, winners and losses", async (plan) => {
  const reference = await search();
  const planned = await search(plan);
  const kept = ({ trigger, topk, candidates, winner, best }: StepRecord) => ({
    trigger,
    topk,
    candidates,
    winner,
    best,
  });
  expect(planned.trace.map(kept)).toEqual(reference.trace.map(kept));
});

test("forwards done and pruned make up the whole grid, and pruning saves some", async () => {
  const pruned = (await search()).last.forwards;
  const all = (await search({ pruning: false })).last.forwards;
  expect(all).toEqual({ done: 6 * 10 * 7, pruned: 0 });
  expect(pruned.done + pruned.pruned).toBe(all.done);
  expect(pruned.pruned).toBeGreaterThan(0);
});

test("each winner becomes current, and the best changes only for a strictly lower loss", async () => {
  const { trace } = await search({ pruning: false, epochs: 12 });
  let best = Number.POSITIVE_INFINITY;
  for (const [k, record] of trace.entries()) {
    const losses = record.losses.map((loss) => loss!);
    expect(record.winner).toBe(losses.indexOf(Math.min(...losses)));
    if (k > 0) expect(record.trigger).toEqual(trace[k - 1]!.candidates[trace[k - 1]!.winner]);
    best = Math.min(best, losses[record.winner]!);
    expect(record.best.loss).toBe(best);
  }
});

test("no candidate is ever drawn twice, nor the initial trigger", async () => {
  const { trace, last } = await search({ epochs: 12 });
  const drawn = [last.initial, ...trace.flatMap((record) => record.candidates)].map(String);
  expect(new Set(drawn).size).toBe(drawn.length);
  for (const { trigger, candidates } of trace)
    for (const candidate of candidates) expect(deltaOf(trigger, candidate)).toHaveLength(2);
  const visited = createVisited(last.initial, last.visited);
  for (const { candidates } of trace)
    expect(candidates.every((candidate) => visited.has(candidate))).toBe(true);
});

test("a search continued from its state, as JSON, goes on as if it had never stopped", async () => {
  const whole = await search();
  const half = await search({}, { stopAfter: 3 });
  const state = JSON.parse(JSON.stringify(half.last)) as SearchState;
  const rest = await search({}, { state });
  expect([...half.trace, ...rest.trace]).toEqual(whole.trace);
  expect(rest.last).toEqual(whole.last);
});

test("a state of another search is refused", async () => {
  const { last } = await search();
  await expect(search({ beta: 0.2 }, { state: last })).rejects.toThrow("the state belongs to search");
});

test("an exhausted space ends the search with the reason", async () => {
  const { last, trace } = await search({ triggerLen: 1, topk: 4, repeatSize: 50, epochs: 90 });
  expect(last.ended).toBe("exhausted");
  const draws = trace.flatMap(({ candidates }) => candidates);
  expect(draws.length).toBeLessThanOrEqual(problem.vocabulary.length);
  expect(trace.length).toBeLessThan(90);
});

test("a replayed trace gives the same losses without drawing", async () => {
  const { trace } = await search({ pruning: false });
  const replay = trace.slice(0, 4).map(({ trigger, candidates }) => ({ trigger, candidates }));
  const again = await search({ pruning: false, seed: 99 }, { replay });
  expect(again.last.ended).toBe("replayed");
  expect(again.trace).toEqual(trace.slice(0, 4));
});

test("a given initial trigger is where the search starts", async () => {
  const { trace } = await search({ init: [5, 8, 5] });
  expect(trace[0]!.trigger).toEqual([5, 8, 5]);
  await expect(search({ init: [5] })).rejects.toThrow("init has 1 ids, triggerLen is 3");
});

test("a constant score index moves the candidates and leaves the gradient at each sample's own", async () => {
  const { executor, prepared } = await search({ scoreIndex: 6, epochs: 1 });
  const used = (kind: string): Set<unknown> =>
    new Set(executor.executed.flatMap((op) => (op.kind === kind && "samples" in op ? [op.samples] : [])));
  expect(used("gradient")).toEqual(new Set([prepared.gradientSamples]));
  expect(used("score")).toEqual(new Set([prepared.scoreSamples]));
  expect(prepared.scoreSamples).not.toBe(prepared.gradientSamples);
});

describe("the published loss", () => {
  test("is float32 throughout and never pruned", async () => {
    const { trace, last } = await search({ loss: "published" });
    expect(last.forwards.pruned).toBe(0);
    for (const loss of trace.flatMap((record) => record.losses)) expect(Math.fround(loss!)).toBe(loss);
  });
});

test("an aborted search rejects with the reason", async () => {
  const executor = createTableExecutor();
  const prepared = await prepareSearch(executor, problem, SearchSettings.parse(small));
  const signal = AbortSignal.abort(new Error("interrupted"));
  await expect(runSearch({ executor, prepared, signal })).rejects.toThrow("interrupted");
});

test.each([
  [{ rows: [] }, "at least one sample"],
  [{ insertIndexes: [1] }, "7 samples have 1 insert indexes"],
  [{ insertIndexes: [1, 2, 3, 4, 5, 1, 99] }, "insert index 99 of sample 6"],
  [{ maxLen: 10 }, "sample 3 has 11 tokens"],
  [{ vocabulary: [] }, "vocabulary is empty"],
])("a problem with %o is refused", async (changes, message) => {
  const settings = SearchSettings.parse(small);
  await expect(prepareSearch(createTableExecutor(), { ...problem, ...changes }, settings)).rejects.toThrow(
    message,
  );
});

test("a search with patience or a target loss is the beginning of the search without, and says why it ended", async () => {
  const whole = await search({ epochs: 40 });
  const losses = whole.trace.map(({ best }) => best.loss);
  const patient = await search({ epochs: 40, patience: 3 });
  expect(patient.last.ended).toBe("patience");
  expect(patient.last.step).toBeLessThan(40);
  expect(patient.last.step - 1 - patient.last.best!.step).toBe(3);
  expect(patient.trace).toEqual(whole.trace.slice(0, patient.last.step));

  const targetLoss = losses[2]!;
  const reached = await search({ epochs: 40, targetLoss });
  expect(reached.last.ended).toBe("target_loss");
  expect(reached.last.step).toBe(losses.findIndex((loss) => loss <= targetLoss) + 1);
  expect(reached.trace).toEqual(whole.trace.slice(0, reached.last.step));
});

test("a search that ended early stays ended when it is continued", async () => {
  const { last } = await search({ epochs: 40, patience: 3 });
  const again = await search({ epochs: 40, patience: 3 }, { state: last });
  expect(again.last).toEqual(last);
  expect(again.trace).toEqual([]);
});
