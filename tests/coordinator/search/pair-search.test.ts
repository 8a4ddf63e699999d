import { expect, test } from "vitest";
import { deltaOf } from "../../../coordinator/search/candidates.ts";
import { matchLoss } from "../../../coordinator/search/match-loss.ts";
import { type PairProblem, preparePairSearch } from "../../../coordinator/search/pair-problem.ts";
import {
  type PairSearchState,
  type PairStepRecord,
  runPairSearch,
  type startPairSearch,
} from "../../../coordinator/search/pair-search.ts";
import { pairLosses, QUERIES_PER_BLOCK, scorePairs } from "../../../coordinator/search/pair-step.ts";
import { PairSearchSettings } from "../../../coordinator/search/settings.ts";
import type { Operation } from "../../../proto/operations.ts";
import { growingRows, recordSearch, smallVocabulary } from "../../support/small-search.ts";
import { createTableExecutor } from "../../support/table-executor.ts";

const N = 32;
const problem: PairProblem = {
  checkpoint: "checkpoint",
  codes: {
    rows: growingRows(N),
    insertIndexes: Array.from({ length: N }, (_, k) => 1 + (k % 5)),
    maxLen: 40,
    endId: 2,
  },
  queries: {
    rows: Array.from({ length: N }, (_, k) => Array.from({ length: 4 + (k % 3) }, (_, j) => 7 * j + k)),
    insertIndexes: Array.from({ length: N }, () => 1),
    maxLen: 12,
    endId: 2,
  },
  vocabulary: smallVocabulary,
};
const small = { triggerLen: 3, targetLen: 2, topk: 8, repeatSize: 6, epochs: 5 };

async function search(
  changes: Partial<PairSearchSettings> = {},
  more: { state?: PairSearchState; replay?: Parameters<typeof startPairSearch>[1]; stopAfter?: number } = {},
) {
  const executor = createTableExecutor();
  const settings = PairSearchSettings.parse({ ...small, ...changes });
  const prepared = await preparePairSearch(executor, problem, settings);
  const { stopAfter, ...given } = more;
  const recorded = await recordSearch<PairStepRecord, PairSearchState>(
    (hooks) => runPairSearch({ executor, prepared, ...given, ...hooks }),
    stopAfter,
  );
  return { ...recorded, executor, prepared };
}

test("the same seed gives the same trace, another seed another one", async () => {
  const [first, second, other] = [await search(), await search(), await search({ seed: 1 })];
  expect(JSON.stringify(second.trace)).toBe(JSON.stringify(first.trace));
  expect([other.trace[0]!.trigger, other.trace[0]!.target]).not.toEqual([
    first.trace[0]!.trigger,
    first.trace[0]!.target,
  ]);
  expect(first.trace).toHaveLength(5);
});

test("pruning, tiles and gradient chunks change no trigger, target, candidate, winner or loss of a winner", async () => {
  const kept = ({ losses: _, bounds: __, ...rest }: PairStepRecord) => rest;
  const all = await search({ pruning: false });
  for (const plan of [{}, { tile: 20, gradientRows: 5 }]) {
    const pruned = await search(plan);
    expect(pruned.trace.map(kept)).toEqual(all.trace.map(kept));
    expect(pruned.last.blocks.pruned).toBeGreaterThan(0);
    expect(pruned.last.blocks.done + pruned.last.blocks.pruned).toBe(all.last.blocks.done);
    for (const [k, record] of pruned.trace.entries())
      for (const [t, row] of record.losses.entries())
        for (const [g, loss] of row.entries()) {
          const complete = all.trace[k]!.losses[t]![g]!;
          if (loss !== null) expect(loss).toBe(complete);
          else expect(complete).toBeGreaterThan(record.bounds[t]![g]!);
        }
  }
});

test("the winner is the pair with the lowest loss and becomes current; the best changes only for a lower one", async () => {
  const { trace } = await search({ pruning: false });
  let best = Number.POSITIVE_INFINITY;
  for (const [k, record] of trace.entries()) {
    const losses = record.losses.flat().map((loss) => loss!);
    const [t, g] = record.winner;
    expect(t * record.target_candidates.length + g).toBe(losses.indexOf(Math.min(...losses)));
    best = Math.min(best, ...losses);
    expect(record.best.loss).toBe(best);
    const next = trace[k + 1];
    if (next) {
      expect(next.trigger).toEqual(record.candidates[t]);
      expect(next.target).toEqual(record.target_candidates[g]);
    }
  }
});

test("every side changes one token at a time, and none of its values comes twice", async () => {
  const { trace, last } = await search();
  const sides = [
    [last.initial.trigger, trace.map((r) => [r.trigger, r.candidates] as const)],
    [last.initial.target, trace.map((r) => [r.target, r.target_candidates] as const)],
  ] as const;
  for (const [initial, steps] of sides) {
    const drawn = [initial, ...steps.flatMap(([, candidates]) => candidates)].map(String);
    expect(new Set(drawn).size).toBe(drawn.length);
    for (const [current, candidates] of steps)
      for (const candidate of candidates) expect(deltaOf(current, candidate)).toHaveLength(2);
  }
});

test("r × r pairs take 2·r·n encodings, and nothing else is encoded for them", async () => {
  const { last } = await search({ epochs: 4 });
  expect(last.forwards).toBe(4 * 2 * 6 * N);
});

/** Operations that encode a whole chunk of rows with one trigger or target: the current pair. */
const currentPair = (executed: readonly Operation[]): number =>
  executed.filter((op) => op.kind === "encode" && op.rows.length > 1).length;

test("the current pair is encoded before the first step alone, later it is the winner of the step before", async () => {
  const chunks = Math.ceil(N / 5);
  const { executor } = await search({ epochs: 4 });
  expect(currentPair(executor.executed)).toBe(2 * chunks);
  // At another index than the candidates were encoded at, its codes are others.
  const elsewhere = await search({ epochs: 4, scoreIndex: 2 });
  expect(currentPair(elsewhere.executor.executed)).toBe((4 + 1) * chunks);
});

test("a side that has nothing left to try keeps its value while the other goes on", async () => {
  const { trace, last } = await search({ targetLen: 1, topk: 2, repeatSize: 30, epochs: 6 });
  const stuck = trace.filter(
    ({ target, target_candidates: [only, ...more] }) => more.length === 0 && String(only) === String(target),
  );
  expect(stuck.length).toBeGreaterThan(0);
  expect(stuck.every(({ candidates }) => candidates.length > 0)).toBe(true);
  expect(last.ended === "epochs" || last.ended === "exhausted").toBe(true);
});

test("a target of no tokens searches the trigger alone", async () => {
  const { trace, executor } = await search({ targetLen: 0 });
  for (const { target, target_candidates, target_topk } of trace)
    expect([target, target_candidates, target_topk]).toEqual([[], [[]], []]);
  const gradients = executor.executed.filter(({ kind }) => kind === "rank");
  expect(gradients).toHaveLength(trace.length);
});

test("both sides exhausted end the search with the reason", async () => {
  const { last } = await search({ triggerLen: 1, targetLen: 1, topk: 3, repeatSize: 50, epochs: 90 });
  expect(last.ended).toBe("exhausted");
});

test("a search continued from its state, as JSON, goes on as if it had never stopped", async () => {
  const whole = await search();
  const half = await search({}, { stopAfter: 2 });
  const rest = await search({}, { state: JSON.parse(JSON.stringify(half.last)) as PairSearchState });
  expect([...half.trace, ...rest.trace]).toEqual(whole.trace);
  expect(rest.last).toEqual(whole.last);
});

test("a replayed trace gives the same losses without drawing", async () => {
  const { trace } = await search({ pruning: false });
  const replay = trace.slice(0, 3).map(({ trigger, target, candidates, target_candidates }) => ({
    trigger,
    target,
    candidates,
    targetCandidates: target_candidates,
  }));
  const again = await search({ pruning: false, seed: 99 }, { replay });
  expect(again.last.ended).toBe("replayed");
  expect(again.trace).toEqual(trace.slice(0, 3));
});

test("every step lets go of the encodings that it lent to the workers", async () => {
  const { executor, last } = await search();
  const lent = executor.executed.flatMap((op) => (op.kind === "score-pairs" ? [op.codes, op.queries] : []));
  expect(new Set(executor.released)).toEqual(new Set(lent));
  expect(executor.released).toHaveLength(2 * last.step);
});

test("two searches that lend equal encodings at a time do not take them from each other", async () => {
  const executor = createTableExecutor();
  const prepared = await preparePairSearch(executor, problem, PairSearchSettings.parse(small));
  const runs = await Promise.all([0, 1].map(() => runPairSearch({ executor, prepared })));
  expect(runs[0]).toEqual(runs[1]);
});

test("blocks add up to the mean over all queries and codes", async () => {
  const executor = createTableExecutor();
  const prepared = await preparePairSearch(executor, problem, PairSearchSettings.parse(small));
  const [triggers, targets] = [
    [
      [5, 8, 11],
      [14, 8, 11],
    ],
    [[5, 20]],
  ];
  const context = { executor, prepared };
  const order = problem.queries.rows.map((_, k) => k);
  const { losses } = await scorePairs(triggers, targets!, order, { ...context, pruning: false });
  expect(await pairLosses(triggers, targets![0]!, context)).toEqual(losses.map(([loss]) => loss));
  const blocks = executor.executed.flatMap((op) => (op.kind === "score-pairs" ? [op.rows] : []));
  expect(new Set(blocks.flat()).size).toBe(N);
  expect(Math.max(...blocks.map((rows) => rows.length))).toBe(QUERIES_PER_BLOCK);
  const encode = async (samples: string, tokens: readonly number[]) => {
    const rows = Array.from({ length: N }, (_, k) => k);
    const [result] = await executor.execute([
      { kind: "encode", checkpoint: "checkpoint", samples, rows, triggers: [tokens] },
    ]);
    const { data, shape } = result!.tensors.features!;
    return rows.map((row) => data.subarray(row * shape[1]!, (row + 1) * shape[1]!));
  };
  for (const [t, trigger] of triggers.entries()) {
    const codes = await encode(prepared.codes.scoreSamples, trigger);
    const queries = await encode(prepared.queries.scoreSamples, targets![0]!);
    expect(losses[t]![0]).toBeCloseTo(matchLoss(queries, codes).mean, 12);
  }
});

test.each([
  [{ codes: { ...problem.codes, insertIndexes: [1] } }, "32 samples have 1 insert indexes"],
  [{ queries: { ...problem.queries, maxLen: 5 } }, "query of sample 2 has 6 tokens"],
  [
    { queries: { ...problem.queries, rows: problem.queries.rows.slice(1), insertIndexes: [1] } },
    "31 samples have 1",
  ],
  [{ vocabulary: [] }, "vocabulary is empty"],
])("a problem with %o is refused", async (changes, message) => {
  const settings = PairSearchSettings.parse(small);
  await expect(
    preparePairSearch(createTableExecutor(), { ...problem, ...changes }, settings),
  ).rejects.toThrow(message);
});
