import { z } from "zod";

const milliseconds = z.number().int().min(1);

/** How leases are given and taken back. Every field has a default. */
export const DispatchSettings = z.strictObject({
  /** Heartbeats that workers send. */
  heartbeatMs: milliseconds.default(2_000),
  /** A lease that no heartbeat renewed for this long goes to another worker: several heartbeats, so that one late one costs nothing. */
  leaseMs: milliseconds.default(10_000),
  /** A lease ends after this time in spite of renewals: the child may hang while its supervisor is well. */
  longestLeaseMs: milliseconds.default(600_000),
  /** Deaths of the inference child during one operation before it is given up; the last try is alone on a worker. */
  maxChildDeaths: z.number().int().min(1).default(3),
  /**
   * Workers that are lost in a row, process and all, while they run one operation before it is given up; it is alone on the last ones. More than deaths of a
   * child: machines are taken away for reasons of their own.
   */
  maxWorkerLosses: z.number().int().min(4).default(6),
  /** Invalid results and retryable errors of one operation before it is given up. */
  maxAttempts: z.number().int().min(1).default(3),
  /** A worker that fails twice without finishing an operation in between gets no lease for this long, and for twice as long each further time … */
  backoffMs: milliseconds.default(1_000),
  /** … but never longer than this. */
  maxBackoffMs: milliseconds.default(60_000),
  /** A worker gets another lease when what it has is expected to be done in less time than this. */
  aheadMs: milliseconds.default(500),
  /** A lease that waits behind another one for longer may move to an idle worker. */
  moveAfterMs: z.number().int().min(0).default(20),
  /**
   * Milliseconds of work by which a sweep or command may be ahead of its share before a worker leaves the checkpoint that it has loaded for another one's.
   * Who had nothing to do for a while catches up on four of them at most.
   */
  quantumMs: z.number().int().min(0).default(5_000),
  /** The same between jobs of one sweep, where changing over less often is worth more. */
  jobQuantumMs: z.number().int().min(0).default(20_000),
  /** An operation that waited longer, while no worker has its checkpoint loaded, takes precedence over loaded checkpoints. */
  affinityMs: z.number().int().min(0).default(10_000),
  /**
   * An operation that its worker will need so many times as long for as an idle worker of its class, by what both usually take, is given to that one, too; 0: never.
   */
  speculateFactor: z.number().min(0).default(3),
  /** … and at least for so long. */
  speculateAfterMs: z.number().int().min(0).default(100),
  /** Share of the results that are computed a second time, by another worker of the same device class, and compared. */
  recheckRate: z.number().min(0).max(1).default(0),
  /** Which ones: another seed, other ones. */
  recheckSeed: z.number().int().min(0).default(0),
  /** A check that waits for longer goes before fresh work; until then only workers with nothing to do get it. */
  recheckAfterMs: z.number().int().min(0).default(10_000),
  /** A result that arrived before its operation was asked for, as after a coordinator's restart, is kept for so long … */
  keepResultsMs: z.number().int().min(0).default(600_000),
  /** … while all of them together have at most so many bytes. */
  keepResultsBytes: z
    .number()
    .int()
    .min(0)
    .default(64 * 1024 ** 2),
});

export type DispatchSettings = z.infer<typeof DispatchSettings>;
export type DispatchOptions = z.input<typeof DispatchSettings>;
