import type { Digest } from "../../proto/operations.ts";
import { SearchInputError } from "./problem.ts";

/** What every search's state has. */
interface Resumable {
  /** Digest of the prepared search that it belongs to. */
  readonly search: Digest;
  /** Why the search ended; null while it runs. */
  readonly ended: string | null;
}

export interface Stepped<State, Record> {
  readonly state: State;
  /** Absent where the search ended instead of making a step. */
  readonly record?: Record;
}

export interface StepHooks<State, Record> {
  readonly signal?: AbortSignal | undefined;
  /** Called after every step. */
  readonly onState?: (state: State) => void;
  /** Awaited after every step, before the next one starts: the place to commit the state. */
  readonly onStep?: ((record: Record, state: State) => void | Promise<void>) | undefined;
}

/** Makes steps until the state says that the search ended. Rejects with the signal's reason when aborted. */
export async function runSteps<State extends Resumable, Record>(
  first: State,
  search: Digest,
  step: (before: State) => Promise<Stepped<State, Record>>,
  { signal, onState, onStep }: StepHooks<State, Record>,
): Promise<State> {
  if (first.search !== search)
    throw new SearchInputError(`the state belongs to search ${first.search}, this one is ${search}`);
  let state = first;
  while (state.ended === null) {
    signal?.throwIfAborted();
    const done = await step(state);
    state = done.state;
    onState?.(state);
    if (done.record !== undefined) await onStep?.(done.record, state);
  }
  return state;
}
