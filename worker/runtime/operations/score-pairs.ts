import { OperationFailed } from "../../../proto/operation-failed.ts";
import type { Digest, ScorePairsOperation, Tensor } from "../../../proto/operations.ts";
import { distanceFromOne, scoresProgram } from "../../programs/score-pairs.ts";
import { checkFinite, type Done, type OperationContext } from "./context.ts";

/** Most scores of one run, which are 4 MiB. */
const SCORES_PER_RUN = 2 ** 20;

/**
 * Per pair the sum of (score − 1)² over the asked queries with one target and all codes with one trigger. The targets of one trigger are a run:
 * their queries under one another, against its codes. Squares are summed in float64 in row-major order.
 *
 * A pair's sum does not depend on the pairs beside it, nor on threads: a run always has one trigger's codes as its columns, and no fewer rows. With
 * fewer, it would be split by columns where there are threads to spare, and onnxruntime adds up a narrower product in other blocks.
 */
export async function scorePairs(operation: ScorePairsOperation, context: OperationContext): Promise<Done> {
  const { task, config } = context.model;
  if (task !== "code_search") throw new OperationFailed(`score-pairs: a model for ${task} has no scores`);
  const codes = await vectorsOf(operation.codes, "codes", context);
  const queries = await vectorsOf(operation.queries, "queries", context);
  const { rows, pairs } = operation;
  checkPairs(operation, codes, queries);

  const n = codes.shape[1]!;
  const session = await context.session("scores", () => scoresProgram(config.hiddenSize));
  const scoresPerPair = rows.length * n;
  const sums = new Float64Array(pairs.length);
  let block: Block | undefined;
  for (const run of runsOf(pairs, Math.max(1, Math.floor(SCORES_PER_RUN / scoresPerPair)))) {
    const targets = pairs.slice(run.start, run.end).map(([, target]) => target);
    if (block === undefined || !sameNumbers(block.targets, targets)) block = blockOf(queries, targets, rows);
    const { scores } = await session.run(
      { queries: block.queries, codes: matrixOf(codes, pairs[run.start]![0]) },
      ["scores"],
    );
    for (let at = run.start, from = 0; at < run.end; at++, from += scoresPerPair)
      sums[at] = distanceFromOne(scores!.data, from, from + scoresPerPair);
    if (!sums.subarray(run.start, run.end).every(Number.isFinite)) checkFinite("scores", scores!);
  }
  return { tensors: { sums: { shape: [pairs.length], data: sums } }, forwards: 0, tokens: 0 };
}

/** Consecutive pairs of one trigger, at most `most` of them. */
function* runsOf(
  pairs: ScorePairsOperation["pairs"],
  most: number,
): Generator<{ readonly start: number; readonly end: number }> {
  for (let start = 0, end = 0; start < pairs.length; start = end) {
    while (end < pairs.length && end - start < most && pairs[end]![0] === pairs[start]![0]) end++;
    yield { start, end };
  }
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

/** The asked queries of some targets. */
interface Block {
  readonly targets: readonly number[];
  /** Target by target, and zeros up to as many rows as there are codes. */
  readonly queries: Tensor<Float32Array>;
}

function blockOf(queries: Tensor<Float32Array>, targets: readonly number[], rows: readonly number[]): Block {
  const [, n, columns] = queries.shape as [number, number, number];
  const height = Math.max(targets.length * rows.length, n);
  const data = new Float32Array(height * columns);
  let at = 0;
  for (const target of targets) {
    for (const row of rows) {
      const start = (target * n + row) * columns;
      data.set(queries.data.subarray(start, start + columns), at);
      at += columns;
    }
  }
  return { targets, queries: { shape: [height, columns], data } };
}

/** One of the matrices in [count, n, columns]. */
function matrixOf({ shape, data }: Tensor<Float32Array>, matrix: number): Tensor<Float32Array> {
  const [, n, columns] = shape as [number, number, number];
  return { shape: [n, columns], data: data.subarray(matrix * n * columns, (matrix + 1) * n * columns) };
}

const sameNumbers = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((value, at) => value === b[at]);
