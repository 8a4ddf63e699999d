import { canonicalJson } from "../../proto/canonical-json.ts";
import type {
  Digest,
  EncodeOperation,
  Executor,
  PredictOperation,
  SampleSet,
} from "../../proto/operations.ts";
import { floatRows } from "./results.ts";

/** Tokens per operation, about: long enough to be worth a message, short enough to share among workers. */
const TOKENS_PER_OPERATION = 4_000;

type Rows = readonly (readonly number[])[];

export interface PredictContext {
  readonly executor: Pick<Executor, "execute" | "putArtifact">;
  readonly checkpoint: Digest;
  /** Weights that replace the checkpoint's own, while it is trained. */
  readonly weights?: Digest | undefined;
  readonly maxLen: number;
  readonly endId: number;
  readonly signal?: AbortSignal;
}

/**
 * Logits of each row, in order. Equal rows are computed once.
 *
 * @param secondRows clone detection: the second snippet of each row
 */
export const predictLogits = (
  rows: Rows,
  context: PredictContext,
  secondRows?: Rows,
): Promise<Float32Array[]> => answersOf("predict", { rows, secondRows }, context);

/** Input features of the task head for each row, in order; in code search the row's vector. Equal rows are computed once. */
export const encodeRows = (rows: Rows, context: PredictContext, secondRows?: Rows): Promise<Float32Array[]> =>
  answersOf("encode", { rows, secondRows }, context);

async function answersOf(
  kind: "predict" | "encode",
  asked: { readonly rows: Rows; readonly secondRows?: Rows | undefined },
  { executor, checkpoint, weights, maxLen, endId, signal }: PredictContext,
): Promise<Float32Array[]> {
  if (asked.rows.length === 0) return [];
  const { places, rows, secondRows } = distinctRows(asked.rows, asked.secondRows);
  const set: SampleSet = { rows, ...(secondRows === undefined ? {} : { secondRows }), maxLen, endId };
  const samples = await executor.putArtifact(new TextEncoder().encode(canonicalJson(set)));
  const operations = chunksByTokens(rows).map((chunk): PredictOperation | EncodeOperation => ({
    kind,
    checkpoint,
    ...(weights === undefined ? {} : { weights }),
    samples,
    rows: chunk,
  }));
  const results = await executor.execute(operations, signal);
  const name = kind === "predict" ? "logits" : "features";
  const answers = results.flatMap((result, k) => floatRows(result, name, operations[k]!.rows.length));
  return places.map((place) => answers[place]!);
}

/** Each row once, and for every given row its place among them. */
function distinctRows(given: Rows, givenSecond: Rows | undefined) {
  const indexOf = new Map<string, number>();
  const rows: (readonly number[])[] = [];
  const second: (readonly number[])[] = [];
  const places = given.map((row, k) => {
    const key = givenSecond === undefined ? row.join() : `${row.join()}|${givenSecond[k]!.join()}`;
    const known = indexOf.get(key);
    if (known !== undefined) return known;
    indexOf.set(key, rows.length);
    if (givenSecond !== undefined) second.push(givenSecond[k]!);
    return rows.push(row) - 1;
  });
  return { places, rows, secondRows: givenSecond && second };
}

/** Row indexes in runs of about `TOKENS_PER_OPERATION` tokens, at least one row each. */
function chunksByTokens(rows: Rows): number[][] {
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
