import type { ScanProgress } from "../../coordinator/search/scan-result.ts";

/** Ids that a small search draws from. */
export const smallVocabulary = Array.from({ length: 40 }, (_, k) => 3 * k + 5);

/** Rows of growing length, each with other ids. */
export const growingRows = (count: number): number[][] =>
  Array.from({ length: count }, (_, k) => Array.from({ length: 8 + k }, (_, j) => j + k));

/** A row of a scan with three variables to mask, or none. */
export function rowWithVariables(row: number, variables = true) {
  const ids = Array.from({ length: 9 + (row % 4) }, (_, k) => row + k);
  const masked = (name: string, at: number) => ({
    name,
    word: at - 1,
    subToken: at,
    ids: ids.toSpliced(at, 1, 3),
  });
  const variants = () => (variables ? [masked("a", 2), masked("b", 5), masked("c", 8)] : []);
  return { row, ids, maskedVariants: variants };
}

/** Runs a search to its end, or to the end of its step `stopAfter`, and keeps what it says on the way. */
export async function recordSearch<Record, State>(
  run: (hooks: {
    readonly signal: AbortSignal;
    readonly onStep: (record: Record, state: State) => void;
  }) => Promise<State>,
  stopAfter?: number,
): Promise<{ trace: Record[]; last: State }> {
  const trace: Record[] = [];
  const states: State[] = [];
  const stop = new AbortController();
  const onStep = (record: Record, state: State): void => {
    trace.push(record);
    states.push(state);
    if (states.length === stopAfter) stop.abort(new Error("stopped"));
  };
  const last = await run({ signal: stop.signal, onStep }).catch((error: unknown) => {
    if (stopAfter === undefined) throw error;
    return states.at(-1)!;
  });
  return { trace, last };
}

/** Runs a scan without a clock, and keeps what it says on the way. */
export async function recordScan<Record, Result>(
  run: (hooks: {
    readonly now: () => number;
    readonly onProgress: (progress: ScanProgress) => void;
    readonly onTrace: (record: Record) => void;
  }) => Promise<Result>,
): Promise<{ result: Result; trace: Record[]; progress: ScanProgress[] }> {
  const trace: Record[] = [];
  const progress: ScanProgress[] = [];
  const result = await run({
    now: () => 0,
    onProgress: (p) => void progress.push(p),
    onTrace: (record) => void trace.push(record),
  });
  return { result, trace, progress };
}
