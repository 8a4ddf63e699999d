import { expect, test } from "vitest";
import { askSamples, encodeRows, predictLogits } from "../../../coordinator/search/predict.ts";
import type { Operation, OperationResult, PredictOperation } from "../../../proto/operations.ts";
import { VectorCache } from "../../../proto/vector-cache.ts";
import { putJson } from "../../support/golden-cell.ts";
import { createTableExecutor } from "../../support/table-executor.ts";

const context = { checkpoint: "c".repeat(64), maxLen: 2_000, endId: 2 };

/** Rows of which few fit into one operation. */
const longRows = (count: number): number[][] =>
  Array.from({ length: count }, (_, k) => [0, k + 3, ...Array.from({ length: 1_200 }, () => 7), 2]);

test("equal rows are computed once, and every row gets its answer", async () => {
  const executor = createTableExecutor();
  const answers = await predictLogits(
    [
      [0, 5, 2],
      [0, 6, 2],
      [0, 5, 2],
    ],
    { ...context, executor },
  );

  expect(answers[2]).toEqual(answers[0]);
  expect(answers[1]).not.toEqual(answers[0]);
  expect(executor.executed.flatMap((operation) => ("rows" in operation ? operation.rows : []))).toEqual([
    0, 1,
  ]);
});

test("rows of a sample set are asked about by their places, in any order", async () => {
  const executor = createTableExecutor();
  const set = { rows: longRows(5), maxLen: 2_000, endId: 2 };
  const samples = { digest: await putJson(executor, set), set };
  const asked = await askSamples("encode", samples, { ...context, executor }, [4, 0, 2, 4]);
  const all = await encodeRows(set.rows, { ...context, executor });

  expect(asked).toEqual([all[4], all[0], all[2], all[4]]);
  expect(await askSamples("encode", samples, { ...context, executor })).toEqual(all);
});

test("who listens is told how many rows are answered, and the answers are the same", async () => {
  const executor = createTableExecutor();
  const told: string[] = [];
  const onAnswered = (done: number, rows: number) => told.push(`${done}/${rows}`);
  const rows = longRows(7);
  const answers = await predictLogits(rows, { ...context, executor, onAnswered });

  expect(told).toEqual(["0/7", "3/7", "6/7", "7/7"]);
  expect(answers).toEqual(await predictLogits(rows, { ...context, executor }));
});

test("where one operation fails, those that are still to do are withdrawn", async () => {
  const table = createTableExecutor();
  const withdrawn: number[][] = [];
  const executor = {
    ...table,
    execute: ([operation]: readonly Operation[], signal?: AbortSignal) =>
      new Promise<OperationResult[]>((_, reject) => {
        const { rows } = operation as PredictOperation;
        if (rows.includes(0)) reject(new Error("no worker can do it"));
        signal?.addEventListener("abort", () => {
          withdrawn.push([...rows]);
          reject(signal.reason);
        });
      }),
  };

  const asking = predictLogits(longRows(7), { ...context, executor, onAnswered: () => undefined });
  await expect(asking).rejects.toThrow("no worker can do it");
  expect(withdrawn).toContainEqual([6]);
});

test("what the checkpoint answered is not asked again, in whatever rows and sample set it stands", async () => {
  const executor = createTableExecutor();
  const rows = longRows(5);
  const asking = { ...context, executor, answers: new VectorCache(1e6) };
  const first = await encodeRows(rows.slice(0, 3), asking);
  const before = executor.executed.length;
  const second = await encodeRows([rows[4]!, rows[2]!, rows[0]!], asking);
  const asked = executor.executed
    .slice(before)
    .flatMap((operation) => ("rows" in operation ? operation.rows : []));

  expect(asked).toEqual([0]);
  expect(second.slice(1)).toEqual([first[2], first[0]]);
  expect(second).toEqual(await encodeRows([rows[4]!, rows[2]!, rows[0]!], { ...context, executor }));
});

test.each([
  ["another question", {}, "predict"],
  ["another checkpoint", { checkpoint: "d".repeat(64) }, "encode"],
  ["another end id", { endId: 3 }, "encode"],
  ["other weights", { weights: "e".repeat(64) }, "encode"],
] as const)("%s is asked anew", async (_, changes, kind) => {
  const executor = createTableExecutor();
  const asking = { ...context, executor, answers: new VectorCache(1e6) };
  await encodeRows(longRows(2), asking);
  const before = executor.executed.length;
  await (kind === "encode" ? encodeRows : predictLogits)(longRows(2), { ...asking, ...changes });

  expect(executor.executed.length).toBeGreaterThan(before);
});

test("with a head beside the checkpoint, logits come from features that are encoded once", async () => {
  const executor = createTableExecutor();
  const asking = { ...context, executor, answers: new VectorCache(1e6) };
  const features = await encodeRows(longRows(2), asking);
  const before = executor.executed.length;
  for (const factor of [1, 2]) {
    const logitsOf = ([x]: Float32Array) => Float32Array.of(factor * x!);
    expect(await predictLogits(longRows(2), { ...asking, logitsOf })).toEqual(features.map(logitsOf));
  }
  expect(executor.executed).toHaveLength(before);
});

test("who listens hears that known rows are done", async () => {
  const told: string[] = [];
  const asking = { ...context, executor: createTableExecutor(), answers: new VectorCache(1e6) };
  await encodeRows(longRows(2), asking);
  await encodeRows(longRows(4), { ...asking, onAnswered: (done, rows) => told.push(`${done}/${rows}`) });

  expect(told[0]).toBe("2/4");
  expect(told.at(-1)).toBe("4/4");
});
