import { canonicalJson } from "../../proto/canonical-json.ts";
import type {
  Digest,
  EncodeOperation,
  Executor,
  Operation,
  OperationResult,
  PredictOperation,
  SampleSet,
} from "../../proto/operations.ts";
import type { VectorCache } from "../../proto/vector-cache.ts";
import { floatRows } from "./results.ts";
import { rowKey } from "./row-key.ts";

/** Bytes of answers that are kept, for one command: some 20,000 vectors of 768 numbers. */
export const ANSWER_BYTES = 64 * 2 ** 20;

/** Tokens per operation, about: long enough to be worth a message, short enough to share among workers. */
const TOKENS_PER_OPERATION = 4_000;

type Rows = readonly (readonly number[])[];

/** Whom to ask. */
export interface AskContext {
  readonly executor: Pick<Executor, "execute">;
  readonly checkpoint: Digest;
  /** Weights that replace the checkpoint's own, while it is trained. */
  readonly weights?: Digest | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Answers of checkpoints with their own weights, to take from and to add to. */
  readonly answers?: VectorCache | undefined;
  /** Told how many rows are answered, at first and whenever it is more of them. */
  readonly onAnswered?: ((done: number, rows: number) => void) | undefined;
}

export interface PredictContext extends AskContext {
  readonly executor: Pick<Executor, "execute" | "putArtifact">;
  readonly maxLen: number;
  readonly endId: number;
  /** Logits from a row's features: a head beside the checkpoint's encoder, so that its features serve any number of heads. */
  readonly logitsOf?: ((features: Float32Array) => Float32Array) | undefined;
}

/** `predict`: logits. `encode`: input features of the task head; in code search the row's vector. */
type Question = (PredictOperation | EncodeOperation)["kind"];

/**
 * Logits of each row, in order. Equal rows are computed once.
 *
 * @param secondRows clone detection: the second snippet of each row
 */
export async function predictLogits(
  rows: Rows,
  { logitsOf, ...context }: PredictContext,
  secondRows?: Rows,
): Promise<Float32Array[]> {
  if (logitsOf === undefined) return answersOf("predict", { rows, secondRows }, context);
  return (await encodeRows(rows, context, secondRows)).map(logitsOf);
}

/** Input features of the task head for each row, in order; in code search the row's vector. Equal rows are computed once. */
export const encodeRows = (rows: Rows, context: PredictContext, secondRows?: Rows): Promise<Float32Array[]> =>
  answersOf("encode", { rows, secondRows }, context);

/** The same for rows of a sample set that the executor has: those at `rows`, in their order; absent: all. */
export async function askSamples(
  kind: Question,
  samples: AskedSamples,
  context: AskContext,
  rows: readonly number[] = [...samples.set.rows.keys()],
): Promise<Float32Array[]> {
  return known(kind, { set: samples.set, rows }, context, (missing, telling) =>
    askEach(kind, samples, { ...context, ...telling }, missing),
  );
}

interface AskedSamples {
  readonly digest: Digest;
  readonly set: SampleSet;
}

/** Answers that are known, and those of `ask` for the rows whose are not. */
async function known(
  kind: Question,
  { set, rows }: { readonly set: SampleSet; readonly rows: readonly number[] },
  { answers, checkpoint, weights, onAnswered }: AskContext,
  ask: (rows: readonly number[], telling: Pick<AskContext, "onAnswered">) => Promise<Float32Array[]>,
): Promise<Float32Array[]> {
  // Other weights are those of one moment of a training.
  if (answers === undefined || weights !== undefined) return ask(rows, { onAnswered });
  const found = await answers.get(
    rows.map((row) => rowKey(kind, checkpoint, set, row)),
    (missing) =>
      ask(
        missing.map((index) => rows[index]!),
        {
          onAnswered: onAnswered && ((done) => onAnswered(rows.length - missing.length + done, rows.length)),
        },
      ),
  );
  onAnswered?.(rows.length, rows.length);
  return found;
}

async function askEach(
  kind: Question,
  { digest: samples, set }: AskedSamples,
  { executor, checkpoint, weights, signal, onAnswered }: AskContext,
  rows: readonly number[],
): Promise<Float32Array[]> {
  const operations = chunksByTokens(rows, set.rows).map((chunk) => ({
    kind,
    checkpoint,
    ...(weights === undefined ? {} : { weights }),
    samples,
    rows: chunk,
  }));
  let done = 0;
  onAnswered?.(done, rows.length);
  const results = await (onAnswered === undefined
    ? executor.execute(operations, signal)
    : executeTelling(executor, operations, signal, (operation) => {
        done += operation.rows.length;
        onAnswered(done, rows.length);
      }));
  const name = kind === "predict" ? "logits" : "features";
  return results.flatMap((result, k) => floatRows(result, name, operations[k]!.rows.length));
}

/** The results of one call, and word of each operation when it is done. Where one fails, the others are withdrawn. */
async function executeTelling<O extends Operation>(
  executor: Pick<Executor, "execute">,
  operations: readonly O[],
  signal: AbortSignal | undefined,
  onDone: (operation: O) => void,
): Promise<OperationResult[]> {
  const failed = new AbortController();
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  const results = operations.map(async (operation) => {
    const [result] = await executor.execute([operation], either);
    onDone(operation);
    return result!;
  });
  try {
    return await Promise.all(results);
  } catch (error) {
    failed.abort();
    throw error;
  }
}

async function answersOf(
  kind: Question,
  asked: { readonly rows: Rows; readonly secondRows?: Rows | undefined },
  { maxLen, endId, ...context }: PredictContext,
): Promise<Float32Array[]> {
  if (asked.rows.length === 0) return [];
  const { places, rows, secondRows } = distinctRows(asked.rows, asked.secondRows);
  const setOf = (chosen: readonly number[]): SampleSet => ({
    rows: chosen.map((row) => rows[row]!),
    ...(secondRows === undefined ? {} : { secondRows: chosen.map((row) => secondRows[row]!) }),
    maxLen,
    endId,
  });
  const every = [...rows.keys()];
  const answers = await known(kind, { set: setOf(every), rows: every }, context, async (missing, telling) => {
    const set = setOf(missing);
    const digest = await context.executor.putArtifact(new TextEncoder().encode(canonicalJson(set)));
    return askEach(kind, { digest, set }, { ...context, ...telling }, [...missing.keys()]);
  });
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
function chunksByTokens(chosen: readonly number[], rows: Rows): number[][] {
  const chunks: number[][] = [];
  let tokens = Number.POSITIVE_INFINITY;
  for (const row of chosen) {
    const { length } = rows[row]!;
    if (tokens + length > TOKENS_PER_OPERATION) {
      chunks.push([]);
      tokens = 0;
    }
    chunks.at(-1)!.push(row);
    tokens += length;
  }
  return chunks;
}
