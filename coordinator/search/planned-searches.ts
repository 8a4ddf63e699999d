import { type OrderedSink, orderedSinks, runInFlight } from "./in-flight.ts";
import { SearchInputError } from "./problem.ts";

/** What the searches of a scan share. */
export interface SearchesRun<Record> {
  /** Steps to replay, by search number. */
  readonly replay?: ReadonlyMap<number, unknown> | undefined;
  /** Searches that run at a time. */
  readonly inFlight: number;
  readonly signal?: AbortSignal | undefined;
  /** Lines of `trace.jsonl`, in the order of the searches however many run at a time. */
  readonly onTrace?: ((record: Record) => void) | undefined;
}

/** Runs planned searches, numbered from 0, and gives what each found, in order. */
export async function runSearches<P extends { readonly search: number }, Record, R>(
  searches: readonly P[],
  { replay, inFlight, signal, onTrace }: SearchesRun<Record>,
  work: (planned: P, signal: AbortSignal, trace: OrderedSink<Record>) => Promise<R>,
): Promise<R[]> {
  for (const { search } of searches)
    if (replay !== undefined && !replay.has(search))
      throw new SearchInputError(`the replayed trace has no step of search ${search}`);
  const sinks = orderedSinks<Record>(searches.length, (record) => onTrace?.(record));
  return runInFlight(inFlight, searches, signal, async (planned, own) => {
    const trace = sinks[planned.search]!;
    const result = await work(planned, own, trace);
    trace.end();
    return result;
  });
}
