/** What must have happened many times in all runs together, so that the seeds test what they say. */
import { LEASE_ENDS } from "../../coordinator/dispatch/events.ts";
import { EVENTS, type JobPhase } from "../../coordinator/sweep/job-state.ts";
import { FAULTS } from "./faults.ts";

/** A queued job cannot fail: nothing is done for it yet. The table has it for what may come. */
const NEVER = new Set(["job queued failed"]);

/** Ways of a job from state to state. */
export const JOB_TRANSITIONS: readonly string[] = Object.entries(EVENTS)
  .flatMap(([phase, events]) =>
    (events as readonly string[]).map((event) => `job ${phase as JobPhase} ${event}`),
  )
  .filter((transition) => !NEVER.has(transition));

/** Ways of an operation: given to a worker, or to a second one, answered, and back into the line by each end of its lease; and of a worker that it fails on. */
export const OPERATION_TRANSITIONS: readonly string[] = [
  "observed leaseGranted first",
  "observed leaseGranted second",
  "observed operationEnded done",
  "observed operationEnded failed",
  "observed operationEnded withdrawn",
  "operation given up for lost workers",
  "observed keptResults reused",
  "observed workerBackedOff",
  "observed leaseGranted check",
  "observed checkEnded equal",
  "observed checkEnded different",
  "observed workerExpelled",
  ...LEASE_ENDS.map((end) => `observed leaseEnded ${end}`),
];

export const FAULT_TYPES: readonly string[] = [
  ...Object.keys(FAULTS).map((name) => `fault: ${name}`),
  "fault: result duplicated",
  "fault: broker's acknowledgement lost",
];

/** Those of the names that happened less often than that, with how often. */
export function rarerThan(
  least: number,
  names: readonly string[],
  counts: ReadonlyMap<string, number>,
): string[] {
  return names
    .map((name) => ({ name, times: counts.get(name) ?? 0 }))
    .filter(({ times }) => times < least)
    .map(({ name, times }) => `${name}: ${times}`);
}
