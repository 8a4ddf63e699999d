import { type OrderedSink, orderedSinks, runInFlight } from "./in-flight.ts";
import type { TileCommits } from "./measured-tile.ts";
import { SearchInputError } from "./problem.ts";

/** What an earlier run of a scan committed of one search: the state after its last step, or what it found. */
export type Committed<State, Result> = { readonly state: State } | { readonly result: Result };

/** How a scan is made to survive the process that runs it: what is given back here makes the scan go on where it was. */
export interface Commits<State, Line, Result> extends TileCommits {
  /** By search number; a search without an entry starts from its beginning. */
  readonly resume?: ReadonlyMap<number, Committed<State, Result>> | undefined;
  /**
   * Awaited after every step, before the search's next one. `lines` are the search's lines of `trace.jsonl` since its last commit: those of
   * all commits, of one search after the other, are the trace of a scan that was never cut.
   */
  readonly onCommit?:
    | ((search: number, state: State, lines: readonly Line[]) => void | Promise<void>)
    | undefined;
  /** Awaited when a search has its result, before another one starts in its place. */
  readonly onResult?: ((search: number, result: Result) => void | Promise<void>) | undefined;
}

/** What the searches of a scan share. */
export interface SearchesRun<State, Line, Result> extends Commits<State, Line, Result> {
  /** Steps to replay, by search number. */
  readonly replay?: ReadonlyMap<number, unknown> | undefined;
  /** Searches that run at a time. */
  readonly inFlight: number;
  readonly signal?: AbortSignal | undefined;
  /** Lines of `trace.jsonl`, in the order of the searches however many run at a time; none that an earlier run committed. */
  readonly onTrace?: ((line: Line) => void) | undefined;
}

/** What one search of a scan gets. */
export interface SearchSurroundings<State, Line> {
  readonly signal: AbortSignal;
  /** State to go on from; absent: from the start. */
  readonly state: State | undefined;
  readonly trace: SearchTrace<State, Line>;
}

/** The lines of one search, each given away once its step is committed. */
export interface SearchTrace<State, Line> {
  /** The line before the first step; it goes out with that step, unless an earlier run committed it. */
  open(line: Line): void;
  /** Resolves when the step is committed. */
  step(line: Line, after: State): Promise<void>;
  /** The search is over: one that made no step has its first line committed now. */
  end(last: State): Promise<void>;
}

/** Runs planned searches, numbered from 0, and gives what each found, in order. */
export async function runSearches<P extends { readonly search: number }, State, Line, Result>(
  searches: readonly P[],
  { replay, inFlight, signal, onTrace, resume, onCommit, onResult }: SearchesRun<State, Line, Result>,
  work: (planned: P, surroundings: SearchSurroundings<State, Line>) => Promise<Result>,
): Promise<Result[]> {
  for (const { search } of searches)
    if (replay !== undefined && !replay.has(search))
      throw new SearchInputError(`the replayed trace has no step of search ${search}`);
  for (const search of resume?.keys() ?? [])
    if (search >= searches.length)
      throw new SearchInputError(`search ${search} was committed, this scan has ${searches.length} searches`);
  const sinks = orderedSinks<Line>(searches.length, (line) => onTrace?.(line));
  return runInFlight(inFlight, searches, signal, async (planned, own) => {
    const { search } = planned;
    const committed = resume?.get(search);
    const sink = sinks[search]!;
    if (committed !== undefined && "result" in committed) {
      sink.end();
      return committed.result;
    }
    const trace = committedTrace<State, Line>(sink, {
      isOpen: committed !== undefined,
      commit: (state, lines) => onCommit?.(search, state, lines),
    });
    const result = await work(planned, { signal: own, state: committed?.state, trace });
    await onResult?.(search, result);
    sink.end();
    return result;
  });
}

function committedTrace<State, Line>(
  sink: Pick<OrderedSink<Line>, "emit">,
  {
    isOpen,
    commit,
  }: { readonly isOpen: boolean; commit(state: State, lines: readonly Line[]): void | Promise<void> },
): SearchTrace<State, Line> {
  let waiting: readonly Line[] = [];
  const give = async (state: State): Promise<void> => {
    const lines = waiting;
    waiting = [];
    await commit(state, lines);
    for (const line of lines) sink.emit(line);
  };
  return {
    open(line) {
      if (!isOpen) waiting = [line];
    },
    step(line, after) {
      waiting = [...waiting, line];
      return give(after);
    },
    async end(last) {
      if (waiting.length > 0) await give(last);
    },
  };
}
