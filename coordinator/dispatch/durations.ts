/** How long operations take on each worker: what a slow one is told by. Pure. */
import {
  type Digest,
  OPERATION_KINDS,
  type OperationKind,
  PROGRAM_FORMS,
  type ProgramForm,
} from "../../proto/operations.ts";
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
  const measured = operation.measuredAs;
  const means = durations.get(measured) ?? new Map<string, number>();
  durations.delete(measured);
  durations.set(measured, means);
  if (durations.size > MAX_MEASURED) durations.delete(durations.keys().next().value!);
  const mean = means.get(workerId) ?? lastedMs;
  means.set(workerId, mean + NEWEST * (lastedMs - mean));
  summaries.delete(means);
}

/** Milliseconds that an operation takes. */
export interface Expectation {
  /** On a worker: its own mean of such operations; else the median of those that did one; else the longest that any kind takes on the checkpoint. */
  on(worker: WorkerState): number;
  /** On the fastest one. */
  readonly leastMs: number;
}

/** Undefined where nothing was measured. */
export function expectation(
  { durations }: DispatchState,
  operation: OperationState,
): Expectation | undefined {
  const means = durations.get(operation.measuredAs);
  if (means) {
    const { medianMs, leastMs } = summaryOf(means);
    return { on: ({ workerId }) => means.get(workerId) ?? medianMs, leastMs };
  }
  const others = measuredOn(operation.checkpoint).flatMap((measured) => {
    const each = durations.get(measured);
    return each ? [summaryOf(each).medianMs] : [];
  });
  if (others.length === 0) return undefined;
  const longestMs = Math.max(...others);
  return { on: () => longestMs, leastMs: longestMs };
}

/** What operations are measured together. */
export const measuredAs = (checkpoint: Digest, kind: OperationKind, form: ProgramForm): string =>
  `${checkpoint}/${kind}/${form}`;

/** All that can be measured on a checkpoint: a few, while thousands may be remembered of others. */
const measuredOn = (checkpoint: Digest): string[] =>
  OPERATION_KINDS.flatMap((kind) => PROGRAM_FORMS.map((form) => measuredAs(checkpoint, kind, form)));

interface Summary {
  readonly medianMs: number;
  /** Of two workers the faster one's. */
  readonly middleMs: number;
  readonly leastMs: number;
}

/** Of means that did not change since: they are asked for with every event. */
const summaries = new WeakMap<ReadonlyMap<string, number>, Summary>();

function summaryOf(means: ReadonlyMap<string, number>): Summary {
  let summary = summaries.get(means);
  if (!summary) {
    const sorted = [...means.values()].sort((a, b) => a - b);
    const [medianMs, middleMs] = [sorted[sorted.length >> 1]!, sorted[(sorted.length - 1) >> 1]!];
    summary = { medianMs, middleMs, leastMs: sorted[0]! };
    summaries.set(means, summary);
  }
  return summary;
}

/** What a worker takes, divided by what the workers take in the middle, over the kinds of operations that several of them did; undefined where there is none. */
export function slownessOf({ durations }: DispatchState, workerId: string): number | undefined {
  const ratios = [...durations.values()].flatMap((means) => {
    const own = means.get(workerId);
    if (own === undefined || means.size < 2) return [];
    return [own / summaryOf(means).middleMs];
  });
  if (ratios.length === 0) return undefined;
  return ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
}
