import { DispatchSettings } from "../../coordinator/dispatch/settings.ts";

/** Times of the product, about five times as short, so that a run has time for what happens after them. */
export const SETTINGS = {
  dispatch: DispatchSettings.parse({
    heartbeatMs: 400,
    leaseMs: 1_600,
    longestLeaseMs: 6_000,
    affinityMs: 1_000,
    recheckAfterMs: 500,
    backoffMs: 200,
    maxBackoffMs: 1_500,
  }),
  resendMs: 1_500,
  operationTimeoutMs: 4_000,
  drainMs: 2_500,
  keepaliveMs: 2_600,
  leaderLeaseMs: 1_400,
  /** How long a run may take after the last fault. */
  limitMs: 120_000,
  /** How many things may happen in a run: several times as many as ever did. */
  mostSteps: 12_000,
  /** After the last fault, until everybody knows that all is well. */
  recoveryMs: 5_000,
  /** From then on no operation waits for a lease longer than this. */
  longestWaitMs: 10_000,
  /** What failed because of faults is retried so long after the last one. */
  retryMs: 20_000,
  /** For what still runs when the last job has ended. */
  windDownMs: 8_000,
} as const;
