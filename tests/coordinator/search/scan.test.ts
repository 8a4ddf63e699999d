import { expect, test } from "vitest";
import { orderedSinks, runInFlight } from "../../../coordinator/search/in-flight.ts";
import type { ScanRow } from "../../../coordinator/search/positions.ts";
import { readReplay } from "../../../coordinator/search/replay.ts";
import { runScan, type ScanInput } from "../../../coordinator/search/scan.ts";
import { planScan } from "../../../coordinator/search/scan-plan.ts";
import type { ClassifierScanResult, TraceRecord } from "../../../coordinator/search/scan-result.ts";
import { ScanSettings } from "../../../coordinator/search/settings.ts";
import type { SampleSet } from "../../../proto/operations.ts";
import { recordScan, rowWithVariables, smallVocabulary } from "../../support/small-search.ts";
import { createTableExecutor } from "../../support/table-executor.ts";

const scanRow = (row: number): ScanRow => ({ ...rowWithVariables(row), label: row % 2 });
const rows = Array.from({ length: 24 }, (_, k) => scanRow(k));
const small = { triggerLen: 3, topk: 8, repeatSize: 6, epochs: 3, samples: 5, codeMaxLen: 16 };

async function scan(settings: object = {}, input: Partial<ScanInput> = {}, replay?: string[]) {
  const executor = { ...createTableExecutor(), deviceClass: "cpu/table" };
  const recorded = await recordScan<TraceRecord, ClassifierScanResult>((hooks) =>
    runScan({
      executor,
      input: {
        task: "defect_detection",
        checkpoint: "checkpoint",
        rows,
        classes: 1,
        vocabulary: smallVocabulary,
        endId: 2,
        textOf: (ids) => ids.join("-"),
        ...input,
      },
      settings: ScanSettings.parse({ ...small, ...settings }),
      replay: replay && readReplay(replay, "trace.jsonl"),
      ...hooks,
    }),
  );
  return { ...recorded, executor };
}

test("a scan searches every direction and reports what each search found", async () => {
  const { result, trace, progress } = await scan();
  expect(result.searches.map((s) => [s.victim_label, s.target_label])).toEqual([
    [0, 1],
    [1, 0],
  ]);
  for (const found of result.searches) {
    expect(found.trigger!.text).toBe(found.trigger!.ids.join("-"));
    expect(found.samples.map(({ row }) => row)).toEqual(
      [0, 2, 4, 6, 8].map((row) => row + found.victim_label),
    );
    expect(found.held_out).toHaveLength(7);
    expect(found.asr).toMatchObject({ samples: { n: 5 }, held_out: { n: 7 } });
    expect(found.asr!.samples.hits).toBeGreaterThanOrEqual(found.without_trigger.samples.hits);
    expect(found.forwards.done + found.forwards.pruned).toBe(3 * 6 * 5);
    const anchored = found.anchored!;
    expect(anchored.ids).toEqual(anchored.positions.map((position) => found.trigger!.ids[position]));
    expect(anchored.loss!).toBeLessThanOrEqual(found.loss! + 0.15);
  }
  expect(result.settings).toMatchObject({ trigger_len: 3, code_max_len: 16, score_index: "own" });
  expect(trace.filter(({ kind }) => kind === "search")).toHaveLength(2);
  expect(trace.filter(({ kind }) => kind === "step")).toHaveLength(6);
  expect(new Set(progress.map(({ phase }) => phase))).toEqual(
    new Set(["positions", "search", "anchoring", "evaluation", "done"]),
  );
});

test("the number of searches in flight changes neither trace nor result", async () => {
  const settings = { halves: ["first_half", "second_half"], seeds: 2 };
  const [one, many] = [
    await scan({ ...settings, searchesInFlight: 1 }),
    await scan({ ...settings, searchesInFlight: 5 }),
  ];
  expect(one.result.searches).toHaveLength(8);
  expect(JSON.stringify(many.trace)).toBe(JSON.stringify(one.trace));
  expect(many.result.searches).toEqual(one.result.searches);
});

test("no row is predicted twice, whatever seeds, halves and directions a scan has and however many searches run at a time", async () => {
  const { executor } = await scan({ halves: ["first_half", "second_half"], seeds: 2, searchesInFlight: 8 });
  const predicted = executor.executed.flatMap((operation) =>
    operation.kind === "predict"
      ? operation.rows.map((row) => (executor.artifact(operation.samples) as SampleSet).rows[row]!.join())
      : [],
  );
  expect(predicted.length).toBeGreaterThan(0);
  expect(new Set(predicted).size).toBe(predicted.length);
});

test("a trace can be replayed from its own lines", async () => {
  const { trace, result } = await scan({ pruning: false });
  const again = await scan(
    { pruning: false, seed: 4 },
    {},
    trace.map((record) => JSON.stringify(record)),
  );
  expect(again.trace.filter(({ kind }) => kind === "step")).toEqual(
    trace.filter(({ kind }) => kind === "step"),
  );
  expect(again.result.searches.map(({ trigger, ended }) => ({ trigger, ended }))).toEqual(
    result.searches.map(({ trigger }) => ({ trigger, ended: "replayed" })),
  );
});

test("held-out rows of a file take the place of the remaining victims, without those that the search uses", () => {
  const settings = ScanSettings.parse({ samples: 5 });
  const other = [scanRow(0), scanRow(40), scanRow(41)];
  const [zero, one] = planScan({ rows, heldOut: other, classes: 1 }, settings);
  expect(zero!.heldOut.map(({ row }) => row)).toEqual([40]);
  expect(one!.heldOut.map(({ row }) => row)).toEqual([41]);
});

test("a model of three labels has six directions", () => {
  const labelled = rows.map((row) => ({ ...row, label: row.row % 3 }));
  expect(planScan({ rows: labelled, classes: 3 }, ScanSettings.parse({}))).toHaveLength(6);
});

test.each([
  [{ directions: [{ victim: 1, target: 1 }] }, {}, "victim and target label are both 1"],
  [{ directions: [{ victim: 1, target: 2 }] }, {}, "the model knows labels 0 to 1"],
  [{}, { rows: rows.filter(({ label }) => label === 1) }, "no sample has the victim label 0"],
  [{}, { rows: [{ ...scanRow(0), label: 7 }] }, "row 0 has label 7"],
])("%o with %o is refused", async (settings, input, message) => {
  await expect(scan(settings, input)).rejects.toThrow(message);
});

test("a replay without a search's steps is refused by its number", async () => {
  const line = '{"kind":"step","search":0,"trigger":[5,8,11],"candidates":[[5,8,14]]}';
  await expect(scan({}, {}, [line])).rejects.toThrow("no step of search 1");
});

test("sinks give values in the order of their sources", () => {
  const seen: string[] = [];
  const [first, second] = orderedSinks<string>(2, (value) => seen.push(value));
  second!.emit("b1");
  first!.emit("a1");
  second!.end();
  first!.emit("a2");
  expect(seen).toEqual(["a1", "a2"]);
  first!.end();
  expect(seen).toEqual(["a1", "a2", "b1"]);
});

test("the first failure stops the other searches and is thrown", async () => {
  let stopped = false;
  const work = (item: number, signal: AbortSignal): Promise<number> =>
    new Promise((resolve, reject) => {
      if (item === 1) return reject(new Error("search 1 failed"));
      signal.addEventListener("abort", () => {
        stopped = true;
        resolve(item);
      });
    });
  await expect(runInFlight(2, [0, 1, 2], undefined, work)).rejects.toThrow("search 1 failed");
  expect(stopped).toBe(true);
});

test("clone pairs keep their second snippets in every operation and in the trace", async () => {
  const pairs = rows.map((row) => ({ ...row, secondIds: [0, 100 + row.row, 2] }));
  const { result, trace, executor } = await scan(
    { directions: [{ victim: 1, target: 0 }] },
    { task: "clone_detection", rows: pairs, classes: 2 },
  );
  const samples = trace.flatMap((record) => (record.kind === "search" ? record.samples : []));
  expect(samples.map(({ row, ids_2 }) => [row, ids_2])).toEqual(
    [1, 3, 5, 7, 9].map((row) => [row, [0, 100 + row, 2]]),
  );
  const sets = executor.executed.flatMap((op) => ("samples" in op ? [executor.artifact(op.samples)] : []));
  expect(sets.length).toBeGreaterThan(0);
  for (const set of sets) {
    const { rows: first, secondRows } = set as SampleSet;
    expect(secondRows).toHaveLength(first.length);
  }
  expect(result.searches[0]!.held_out).toHaveLength(7);
});

test("a held-out pair with a searched first snippet and another second one is still unseen", () => {
  const pair = (row: number, second: number): ScanRow => ({ ...scanRow(1), row, secondIds: [0, second, 2] });
  const [planned] = planScan(
    { rows: [pair(0, 5)], heldOut: [pair(0, 5), pair(1, 6)], classes: 2 },
    ScanSettings.parse({ directions: [{ victim: 1, target: 0 }] }),
  );
  expect(planned!.heldOut.map(({ row }) => row)).toEqual([1]);
});
