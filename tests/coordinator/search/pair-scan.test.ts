import { expect, test } from "vitest";
import type { PairRow } from "../../../coordinator/search/pair-positions.ts";
import { type PairScanInput, planPairScan, runPairScan } from "../../../coordinator/search/pair-scan.ts";
import { readPairReplay } from "../../../coordinator/search/replay.ts";
import type { PairScanResult, PairTraceRecord } from "../../../coordinator/search/scan-result.ts";
import { PairScanSettings } from "../../../coordinator/search/settings.ts";
import { recordScan, rowWithVariables, smallVocabulary } from "../../support/small-search.ts";
import { createTableExecutor } from "../../support/table-executor.ts";

const pairRow = (row: number, variables = true): PairRow => ({
  ...rowWithVariables(row, variables),
  queryIds: [0, 50 + row, 2],
});
const rows = Array.from({ length: 16 }, (_, k) => pairRow(k));
const small = {
  ...{ triggerLen: 3, topk: 8, repeatSize: 5, epochs: 3, samples: 7 },
  ...{ codeMaxLen: 16, nlMaxLen: 10 },
};

async function scan(settings: object = {}, input: Partial<PairScanInput> = {}, replay?: string[]) {
  const executor = createTableExecutor();
  return recordScan<PairTraceRecord, PairScanResult>((hooks) =>
    runPairScan({
      executor,
      input: {
        checkpoint: "checkpoint",
        rows,
        vocabulary: smallVocabulary,
        endId: 2,
        textOf: (ids) => ids.join("-"),
        ...input,
      },
      settings: PairScanSettings.parse({ ...small, ...settings }),
      replay: replay && readPairReplay(replay, "trace.jsonl"),
      ...hooks,
    }),
  );
}

test("a scan searches a trigger and a target, and measures them on rows that the search never saw", async () => {
  const { result, trace, progress } = await scan();
  expect(result.task).toBe("code_search");
  const [found, ...others] = result.searches;
  expect(others).toEqual([]);
  expect(found).toMatchObject({ half: "first_half", seed: 123_456, steps: 3, ended: "epochs" });
  expect(found!.trigger!.ids).toHaveLength(3);
  expect(found!.target!.text).toBe(found!.target!.ids.join("-"));
  expect(found!.samples.map(({ row }) => row)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(found!.held_out).toHaveLength(9);
  expect(found!.anr).toMatchObject({
    samples: { queries: 7, codes: 7, without_trigger: 3 / 7 },
    held_out: { queries: 9, codes: 9, without_trigger: 4 / 9 },
  });
  for (const { anr } of [found!.anr!.samples, found!.anr!.held_out]) {
    expect(anr).toBeGreaterThan(0);
    expect(anr).toBeLessThanOrEqual(1);
  }
  const { positions, ids, loss } = found!.anchored!;
  expect(ids).toEqual(positions.map((position) => found!.trigger!.ids[position]));
  expect(loss).toBeLessThanOrEqual(found!.loss! + 0.01);
  expect(trace.map(({ kind }) => kind)).toEqual(["search", "step", "step", "step"]);
  expect(trace[0]).toMatchObject({ max_len: 16, nl_max_len: 10, end_id: 2, score_index: null });
  expect(new Set(progress.map(({ phase }) => phase))).toEqual(
    new Set(["positions", "search", "anchoring", "evaluation", "done"]),
  );
});

test("the trace names codes, queries and places, so that anyone can check it", async () => {
  const { trace, result } = await scan();
  const [opening] = trace;
  if (opening?.kind !== "search") throw new Error("no opening");
  for (const [k, sample] of opening.samples.entries()) {
    expect(sample).toMatchObject({ row: k, ids: rows[k]!.ids, query_ids: rows[k]!.queryIds });
    expect(sample.query_insert_index).toBe(1);
    expect(sample.insert_index).toBe(result.searches[0]!.samples[k]!.insert_index);
    expect([2, 5, 8]).toContain(sample.insert_index);
  }
});

test("halves and seeds are searches of their own, whatever the number in flight", async () => {
  const many = { halves: ["first_half", "second_half"], seeds: 2 };
  const [alone, together] = [
    await scan({ ...many, searchesInFlight: 1 }),
    await scan({ ...many, searchesInFlight: 4 }),
  ];
  expect(alone.result.searches.map(({ half, seed }) => [half, seed])).toEqual([
    ["first_half", 123_456],
    ["first_half", 123_457],
    ["second_half", 123_456],
    ["second_half", 123_457],
  ]);
  expect(together.trace).toEqual(alone.trace);
  const { settings: _, ...rest } = together.result;
  expect(alone.result).toMatchObject(rest);
});

test("a row without variables gets the trigger at the fallback of its half", async () => {
  const bare = rows.map(({ row }) => pairRow(row, false));
  const { result } = await scan({ halves: ["first_half", "second_half"], epochs: 1 }, { rows: bare });
  const [first, second] = result.searches;
  expect(new Set(first!.samples.map(({ insert_index }) => insert_index))).toEqual(new Set([1]));
  expect(first!.samples.every(({ variable }) => variable === null)).toBe(true);
  for (const { row, insert_index } of second!.samples)
    expect(insert_index).toBe(Math.min(bare[row]!.ids.length - 1, 16 - 1 - 3));
});

test("held-out rows of their own are measured, without those that the search saw", async () => {
  const heldOut = [pairRow(0), pairRow(40), pairRow(41)];
  const { result } = await scan({ epochs: 1 }, { heldOut });
  expect(result.searches[0]!.held_out.map(({ row }) => row)).toEqual([40, 41]);
});

test("with no row held out there is no rank to report", async () => {
  const { result } = await scan({ epochs: 1, samples: 16 });
  expect(result.searches[0]!.anr!.held_out).toEqual({
    anr: null,
    without_trigger: null,
    queries: 0,
    codes: 0,
  });
});

test("a trace replayed from its lines gives the same trace", async () => {
  const first = await scan({ pruning: false });
  const lines = first.trace.map((record) => JSON.stringify(record));
  const again = await scan({ pruning: false, seed: 5 }, {}, lines);
  expect(again.trace.slice(1)).toEqual(first.trace.slice(1));
  expect(again.result.searches[0]).toMatchObject({ ended: "replayed", steps: 3 });
});

test.each([
  [{ trigger: [1, 2, 3], candidates: [[1, 2, 4]] }, "no target_candidates"],
  [{ trigger: [1, 2, 3], candidates: [[1, 2, 4]], target_candidates: [[7]] }, "candidates without target"],
  [
    { trigger: [1, 2, 3], candidates: [[1, 2, 4]], target: [6, 7], target_candidates: [[7]] },
    "candidate 0 has 1 ids, the target 2",
  ],
  [{ trigger: [1], candidates: [[1]], target: [6, 7], target_candidates: [[7, 7]] }, "--trigger-len is 3"],
  [
    { trigger: [1, 2, 3], candidates: [[1, 2, 4]], target: [7], target_candidates: [[7]] },
    "its target has 1 ids, --target-len is 2",
  ],
])("a replayed line %o is refused", (line, message) => {
  const limits = { triggerLen: 3, targetLen: 2, vocabSize: 50 };
  expect(() => readPairReplay([JSON.stringify(line)], "trace.jsonl", limits)).toThrow(message);
});

test("no sample at all is refused", () => {
  expect(() => planPairScan({ rows: [] }, PairScanSettings.parse(small))).toThrow("no sample");
});
