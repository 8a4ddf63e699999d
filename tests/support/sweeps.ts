import type { z } from "zod";
import type { CommittedStep } from "../../coordinator/sweep/committed-step.ts";
import type { JobEvent, JobPhase, JobState } from "../../coordinator/sweep/job-state.ts";
import type { FoundResult, SweepSpec } from "../../coordinator/sweep/sweep.ts";

const digestFull = (character: string): string => character.repeat(64);
export const repair = { weights: digestFull("a"), report: digestFull("b") };

/** One event of each kind. */
export const events: { readonly [K in JobEvent["kind"]]: Extract<JobEvent, { readonly kind: K }> } = {
  started: { kind: "started" },
  scanned: { kind: "scanned", found: 2 },
  unlearned: { kind: "unlearned", repair },
  evaluated: { kind: "evaluated", report: { asr: 1 } },
  failed: { kind: "failed", reason: "no worker fits" },
  cancelled: { kind: "cancelled" },
  retried: { kind: "retried", fresh: false },
  doubted: { kind: "doubted", reason: "worker w1 lied" },
  "taken-back": { kind: "taken-back", reason: "worker w1 lied", searches: [{ search: 0, step: 1 }] },
};

/** One state of each phase. */
export const states: { readonly [P in JobPhase]: Extract<JobState, { readonly phase: P }> } = {
  queued: { phase: "queued" },
  scanning: { phase: "scanning" },
  unlearning: { phase: "unlearning" },
  evaluating: { phase: "evaluating", repair },
  done: { phase: "done", report: { asr: 1 } },
  failed: { phase: "failed", reason: "no worker fits" },
  cancelled: { phase: "cancelled" },
};

/** A sweep of so many models, whose work nobody does. */
export function sweepOf(name: string, models: number, more: Partial<SweepSpec> = {}): SweepSpec {
  return {
    name,
    task: "defect_detection",
    options: { samples: "/data/samples.jsonl", epochs: 3 },
    priority: 0,
    weight: 1,
    maxParallel: 4,
    jobs: Array.from({ length: models }, (_, k) => ({ name: `m${k}`, model: `/models/m${k}`, options: {} })),
    ...more,
  };
}

/** The state after a step as the log gets it, of a search with as many candidates as are drawn by default. */
export function stepOf(step: number, search = 0): CommittedStep {
  const trigger = [step, 8, 11, 14, 17];
  return {
    search: digestFull(String(search % 10)),
    step,
    initial: [5, 8, 11, 14, 17],
    trigger,
    best: { step: step - 1, trigger, loss: 1 / step, rate: 0.5 },
    rng: { key: [1, 2], drawn: 64 * step },
    visited: { trigger, deltas: Array.from({ length: 64 }, (_, k) => [k % 5, 3 * k + step]) },
    forwards: { done: 900 * step, pruned: 1020 * step },
    ended: null,
  };
}

/** What a search found, as far as sweeps look at it. */
export const resultOf = (search: number, steps = 3): z.infer<typeof FoundResult> =>
  ({ search, steps, trigger: { ids: [1, 2, 3], text: "a b c" }, loss: 0.25 }) as unknown as z.infer<
    typeof FoundResult
  >;
