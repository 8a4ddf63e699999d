import { setTimeout as pause } from "node:timers/promises";
import type { KV, KvEntry } from "nats";
import { z } from "zod";
import { apiErrorCode, WRONG_LAST_SEQUENCE } from "./jetstream-errors.ts";

/** Who leads, as the others read it. */
export const Leader = z
  .object({
    /** Of one opening of a log. */
    id: z.string(),
    /** Where workers and clients find this coordinator. */
    address: z.string(),
    host: z.string(),
    pid: z.number().int(),
    since: z.string(),
  })
  .readonly();
export type Leader = z.infer<typeof Leader>;

/** The lease as a standby sees it at one look; null where nobody has it. */
export interface LeaseLook {
  readonly revision: number;
  readonly leader: Leader | null;
}

/** The revision that a standby sees, and since when, by its own steady clock. */
export interface LeaseSeen {
  readonly revision: number;
  readonly sinceMs: number;
}

/** A leader that renewed its lease no more. */
export interface SilentLeader {
  readonly leader: Leader;
  /** Since its last renewal was first seen, by the standby's own steady clock. */
  readonly forMs: number;
}

export type LeaseDecision =
  | { readonly kind: "mine" }
  /** `from` is absent where nobody has it. */
  | { readonly kind: "take"; readonly from?: SilentLeader }
  | { readonly kind: "wait"; readonly leader: Leader; readonly seen: LeaseSeen };

/**
 * A leader renews its lease by writing it again. Whoever saw the same revision for `leaseMs`, with looks in between that
 * were answered, may take it. No clock but the standby's own is asked; `seen` is undefined after a look that failed.
 */
export function decideLease(
  look: LeaseLook,
  seen: LeaseSeen | undefined,
  { myId, nowMs, leaseMs }: { readonly myId: string; readonly nowMs: number; readonly leaseMs: number },
): LeaseDecision {
  const { leader, revision } = look;
  if (leader === null) return { kind: "take" };
  if (leader.id === myId) return { kind: "mine" };
  if (seen?.revision !== revision) return { kind: "wait", leader, seen: { revision, sinceMs: nowMs } };
  const forMs = nowMs - seen.sinceMs;
  if (forMs >= leaseMs) return { kind: "take", from: { leader, forMs } };
  return { kind: "wait", leader, seen };
}

export interface LeaderLeaseOptions {
  readonly bucket: KV;
  readonly key: string;
  readonly me: Leader;
  readonly leaseMs: number;
}

/**
 * The lease of one leader: an entry of a bucket that is changed by compare-and-set. It says who should write; that nobody
 * else does is the log's business.
 */
export class LeaderLease {
  readonly #options: LeaderLeaseOptions;
  #revision = 0;

  constructor(options: LeaderLeaseOptions) {
    this.#options = options;
  }

  /**
   * Waits until the lease is free, and takes it; answers from whom, where somebody had it. `onLook` hears of each answered look, with who leads, and
   * `onError` of each failed one; what it throws ends the waiting.
   */
  async acquire(
    signal: AbortSignal,
    onLook: (leader: Leader) => void,
    onError: (error: unknown) => Promise<void>,
  ): Promise<SilentLeader | undefined> {
    const { me, leaseMs } = this.#options;
    let seen: LeaseSeen | undefined;
    for (;;) {
      signal.throwIfAborted();
      try {
        const look = await this.#look();
        const decision = decideLease(look, seen, { myId: me.id, nowMs: performance.now(), leaseMs });
        this.#revision = look.revision;
        if (decision.kind === "mine") return undefined;
        if (decision.kind === "take" && (await this.renew())) return decision.from;
        if (decision.kind === "wait") {
          seen = decision.seen;
          onLook(decision.leader);
        }
      } catch (error) {
        seen = undefined;
        await onError(error);
      }
      await pause(leaseMs / 14, undefined, { signal }).catch(() => {});
    }
  }

  /** False where somebody else has it. Other errors say nothing about that. */
  async renew(): Promise<boolean> {
    const { bucket, key, me } = this.#options;
    const value = new TextEncoder().encode(JSON.stringify(me));
    try {
      this.#revision = await bucket.put(key, value, { previousSeq: this.#revision });
      return true;
    } catch (error) {
      if (apiErrorCode(error) !== WRONG_LAST_SEQUENCE) throw error;
      // Ours, where the answer to the last renewal was lost.
      const look = await this.#look();
      if (look.leader?.id !== me.id) return false;
      this.#revision = look.revision;
      return true;
    }
  }

  /** Renews until the signal; resolves true where somebody else has it. */
  async keep(signal: AbortSignal, onError: (error: unknown) => void): Promise<boolean> {
    while (!signal.aborted) {
      try {
        await pause(this.#options.leaseMs / 7, undefined, { signal });
        if (!(await this.renew())) return true;
      } catch (error) {
        if (!signal.aborted) onError(error);
      }
    }
    return false;
  }

  /** Lets the next one in without waiting. */
  async release(): Promise<void> {
    await this.#options.bucket.delete(this.#options.key, { previousSeq: this.#revision });
  }

  async #look(): Promise<LeaseLook> {
    const entry: KvEntry | null = await this.#options.bucket.get(this.#options.key);
    if (entry === null) return { revision: 0, leader: null };
    if (entry.operation !== "PUT") return { revision: entry.revision, leader: null };
    return { revision: entry.revision, leader: Leader.parse(entry.json()) };
  }
}
