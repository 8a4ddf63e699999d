import { OperationFailed } from "../../../proto/operation-failed.ts";
import type { Digest, ScorePairsOperation, Tensor } from "../../../proto/operations.ts";
import { distanceFromOne, scoresProgram } from "../../programs/score-pairs.ts";
import { checkFinite, type Done, type OperationContext } from "./context.ts";

/**
 * Per pair the sum of (score − 1)² over the asked queries with one target and all codes with one trigger. Every pair is a run of its own, of
 * one shape, so that its sum cannot depend on the pairs beside it; squares are summed in float64 in row-major order.
 */
export async function scorePairs(operation: ScorePairsOperation, context: OperationContext): Promise<Done> {
  const { task, config } = context.model;
  if (task !== "code_search") throw new OperationFailed(`score-pairs: a model for ${task} has no scores`);
  const codes = await vectorsOf(operation.codes, "codes", context);
  const queries = await vectorsOf(operation.queries, "queries", context);
  const { rows, pairs } = operation;
  checkPairs(operation, codes, queries);

  const { hiddenSize } = config;
  const n = codes.shape[1]!;
  const session = await context.session("scores", () => scoresProgram(hiddenSize));
  const blocks = new Map<number, Tensor<Float32Array>>();
  const sums = new Float64Array(pairs.length);
  for (const [index, [trigger, target]] of pairs.entries()) {
    let block = blocks.get(target);
    if (block === undefined) {
      block = rowsOf(queries, target, rows);
      blocks.set(target, block);
    }
    const all = {
      shape: [n, hiddenSize],
      data: codes.data.subarray(trigger * n * hiddenSize, (trigger + 1) * n * hiddenSize),
    };
    const { scores } = await session.run({ queries: block, codes: all }, ["scores"]);
    checkFinite("scores", scores!);
    sums[index] = distanceFromOne(scores!.data);
  }
  return { tensors: { sums: { shape: [pairs.length], data: sums } }, forwards: 0, tokens: 0 };
}

async function vectorsOf(
  digest: Digest,
  what: "codes" | "queries",
  { model, vectors }: OperationContext,
): Promise<Tensor<Float32Array>> {
  const { hiddenSize } = model.config;
  const { vectors: found } = await vectors(digest);
  const shape = found?.shape ?? [];
  if (!(found?.data instanceof Float32Array) || shape.length !== 3 || shape[2] !== hiddenSize) {
    const held = found === undefined ? "no tensor 'vectors'" : `'vectors' of shape [${shape.join(", ")}]`;
    throw new OperationFailed(
      `score-pairs: ${what} ${digest}: ${held}, expected float32 [count, n, ${hiddenSize}]`,
    );
  }
  return found as Tensor<Float32Array>;
}

function checkPairs({ rows, pairs }: ScorePairsOperation, codes: Tensor, queries: Tensor): void {
  const fail = (reason: string): never => {
    throw new OperationFailed(`score-pairs: ${reason}`);
  };
  if (rows.length === 0 || pairs.length === 0) fail(`${rows.length} rows and ${pairs.length} pairs`);
  const [triggers, codeCount] = codes.shape as [number, number];
  const [targets, queryCount] = queries.shape as [number, number];
  if (codeCount !== queryCount) fail(`${codeCount} codes and ${queryCount} queries`);
  const row = rows.find((each) => each >= queryCount);
  if (row !== undefined) fail(`row ${row} is not below ${queryCount} queries`);
  const odd = pairs.find(([trigger, target]) => trigger >= triggers || target >= targets);
  if (odd) fail(`pair [${odd.join(", ")}] is not among ${triggers} triggers and ${targets} targets`);
}

/** Some rows of one of the matrices in [count, n, columns]. */
function rowsOf({ shape, data }: Tensor<Float32Array>, matrix: number, rows: readonly number[]) {
  const [, n, columns] = shape as [number, number, number];
  const block = new Float32Array(rows.length * columns);
  for (const [at, row] of rows.entries()) {
    const start = (matrix * n + row) * columns;
    block.set(data.subarray(start, start + columns), at * columns);
  }
  return { shape: [rows.length, columns], data: block };
}
