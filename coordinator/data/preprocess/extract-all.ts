import type { SourceFunction } from "./source-function.ts";
import type { Outcome, ThreadPool } from "./thread-pool.ts";

/** A function and what became of it. */
export interface Extracted {
  readonly source: SourceFunction;
  readonly outcome: Outcome;
}

/** Functions of one message to a thread. */
const batchSize = 16;

/**
 * Extracts functions on threads and gives them back in the order in which they came, whatever thread was faster. Only a few batches a
 * thread are held at a time.
 */
export async function* extractAll(
  sources: AsyncIterable<SourceFunction>,
  pool: ThreadPool,
): AsyncGenerator<Extracted> {
  const running: Promise<readonly Extracted[]>[] = [];
  for await (const batch of batches(sources)) {
    const extracting = extractBatch(batch, pool);
    // It is awaited in its turn; where an earlier one fails, nobody is left to hear of it.
    extracting.catch(() => undefined);
    running.push(extracting);
    if (running.length >= 2 * pool.size) yield* await running.shift()!;
  }
  for (const each of running) yield* await each;
}

async function extractBatch(
  batch: readonly SourceFunction[],
  pool: ThreadPool,
): Promise<readonly Extracted[]> {
  const snippets = batch.map(({ code, language }) => ({ code, language }));
  const outcomes = await pool.extract(snippets);
  return batch.map((source, k) => ({ source, outcome: withOwnFault(source, outcomes[k]!) }));
}

/** What is wrong with the code itself is said first. */
const withOwnFault = ({ unusable }: SourceFunction, outcome: Outcome): Outcome =>
  unusable === undefined || outcome.kind === "unusable"
    ? outcome
    : { kind: "unusable", reason: unusable, message: unusable };

async function* batches(sources: AsyncIterable<SourceFunction>): AsyncGenerator<SourceFunction[]> {
  let batch: SourceFunction[] = [];
  for await (const source of sources) {
    batch.push(source);
    if (batch.length < batchSize) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
