import type { ExplanationMessage } from "../../proto/sweep-messages.ts";
import { type JobId, requireJob, requireSweep, type SweepsState } from "../sweep/sweep.ts";
import { someJobRows } from "../sweep/views.ts";

/** Where a job stands and why it is not further. @throws UnknownNameError */
export function explainJob(id: JobId, state: SweepsState): ExplanationMessage {
  const job = requireJob(state, id);
  const [row] = someJobRows(requireSweep(state, id.sweep), new Set([id.job]));
  return {
    job: row!,
    reasons: [],
    history: [],
    deviceClass: job.deviceClass ?? "",
    waitingOperations: 0,
    leases: [],
    workers: [],
  };
}
