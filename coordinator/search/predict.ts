import { canonicalJson } from "../../proto/canonical-json.ts";
import type { Digest, Executor, PredictOperation, SampleSet } from "../../proto/operations.ts";
import { logitRows } from "./results.ts";

/** Tokens per predict operation, about: long enough to be worth a message, short enough to share among workers. */
const TOKENS_PER_OPERATION = 4_000;

export interface PredictContext {
  readonly executor: Pick<Executor, "execute" | "putArtifact">;
  readonly checkpoint: Digest;
  /** Weights that replace the checkpoint's own, while it is trained. */
  readonly weights?: Digest | undefined;
  readonly maxLen: number;
  readonly endId: number;
  readonly signal?: AbortSignal;
}

/** Logits of each row, in order. Equal rows are computed once. */
export async function predictLogits(
  rows: readonly (readonly number[])[],
  { executor, checkpoint, weights, maxLen, endId, signal }: PredictContext,
): Promise<Float32Array[]> {
  if (rows.length === 0) return [];
  const indexOf = new Map<string, number>();
  const distinct: (readonly number[])[] = [];
  const places = rows.map((row) => {
    const key = row.join();
    const known = indexOf.get(key);
    if (known !== undefined) return known;
    indexOf.set(key, distinct.length);
    return distinct.push(row) - 1;
  });
  const set: SampleSet = { rows: distinct, maxLen, endId };
  const samples = await executor.putArtifact(new TextEncoder().encode(canonicalJson(set)));
  const operations = chunksByTokens(distinct).map(
    (chunk): PredictOperation => ({
      kind: "predict",
      checkpoint,
      ...(weights === undefined ? {} : { weights }),
      samples,
      rows: chunk,
    }),
  );
  const results = await executor.execute(operations, signal);
  const logits = results.flatMap((result, k) => logitRows(result, operations[k]!.rows.length));
  return places.map((place) => logits[place]!);
}

/** Row indexes in runs of about `TOKENS_PER_OPERATION` tokens, at least one row each. */
function chunksByTokens(rows: readonly (readonly number[])[]): number[][] {
  const chunks: number[][] = [];
  let tokens = Number.POSITIVE_INFINITY;
  for (const [k, row] of rows.entries()) {
    if (tokens + row.length > TOKENS_PER_OPERATION) {
      chunks.push([]);
      tokens = 0;
    }
    chunks.at(-1)!.push(k);
    tokens += row.length;
  }
  return chunks;
}
