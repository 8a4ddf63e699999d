import type { ExplanationMessage } from "../../proto/sweep-messages.ts";
import { stateText } from "./show-sweep.ts";
import { table } from "./table.ts";

/** Where a job stands, as a person reads it. */
export function explanationText(explanation: ExplanationMessage): string {
  const { job, reasons, history, deviceClass, waitingOperations, leases, workers } = explanation;
  const section = (title: string, rows: readonly (readonly string[])[]): string[] =>
    rows.length === 0 ? [] : ["", title, ...table(rows.map((row) => ["", ...row])).split("\n")];
  return [
    `${job.name}: ${stateText(job)}`,
    ...reasons.map((reason) => `  ${reason}`),
    ...(deviceClass === "" ? [] : [`  its results come from ${deviceClass}`]),
    ...(waitingOperations === 0 ? [] : [`  ${waitingOperations} of its operations wait for a worker`]),
    ...section(
      "out on workers",
      leases.map(({ workerId, kind, fingerprint, ageMs, isRunning, reissued }) => [
        workerId,
        kind,
        fingerprint.slice(0, 12),
        `${(ageMs / 1000).toFixed(1)} s`,
        isRunning ? "running" : "waits there",
        reissued.length === 0 ? "" : `given out before: ${reissued.join("; ")}`,
      ]),
    ),
    ...section(
      "workers",
      workers.map(({ workerId, state, leases: held, slowness, tokensPerSecond, unfitBecause, ...worker }) => [
        workerId,
        state,
        `${held} leases`,
        tokensPerSecond > 0 ? `${Math.round(tokensPerSecond)} tokens/s` : "",
        slowness > 0 ? `${slowness.toFixed(1)} × the time of others` : "",
        unfitBecause === "" ? worker.deviceClass : `cannot: ${unfitBecause}`,
      ]),
    ),
    ...section(
      "history",
      history.map(({ at, text }) => [new Date(at).toISOString(), text]),
    ),
  ].join("\n");
}
