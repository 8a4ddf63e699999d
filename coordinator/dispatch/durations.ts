/** How long operations take on each worker: what a slow one is told by. Pure. */
import type { DispatchState, OperationState, WorkerState } from "./state.ts";

/** Weight of the newest duration in a worker's mean. */
const NEWEST = 0.3;
/** Kinds of operations that are remembered; the one that was measured longest ago goes first. */
const MAX_MEASURED = 1_024;

/** A worker took so long for an operation: it counts for its mean of this kind on this checkpoint. */
export function measure(
  { durations }: DispatchState,
  { workerId }: WorkerState,
  operation: OperationState,
  lastedMs: number,
): void {
  const measured = measuredAs(operation);
  const means = durations.get(measured) ?? new Map<string, number>();
  durations.delete(measured);
  durations.set(measured, means);
  if (durations.size > MAX_MEASURED) durations.delete(durations.keys().next().value!);
  const mean = means.get(workerId) ?? lastedMs;
  means.set(workerId, mean + NEWEST * (lastedMs - mean));
}

/**
 * Milliseconds that a worker takes for such an operation: its own mean; else the median of the workers that did one; else the longest that any kind of
 * operation takes on the checkpoint. Undefined where nothing was measured.
 */
export function expectedMs(
  { durations }: DispatchState,
  operation: OperationState,
  { workerId }: WorkerState,
): number | undefined {
  const means = durations.get(measuredAs(operation));
  if (means) return means.get(workerId) ?? medianOf(means);
  const others = [...durations].flatMap(([measured, each]) =>
    measured.startsWith(`${operation.checkpoint}/`) ? [medianOf(each)] : [],
  );
  return others.length === 0 ? undefined : Math.max(...others);
}

const measuredAs = ({ checkpoint, kind, need }: OperationState): string =>
  `${checkpoint}/${kind}/${need.form}`;

function medianOf(means: ReadonlyMap<string, number>): number {
  const sorted = [...means.values()].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
