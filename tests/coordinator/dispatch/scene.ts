import { advance } from "../../../coordinator/dispatch/advance.ts";
import type { Decision, DispatchEvent } from "../../../coordinator/dispatch/events.ts";
import { DispatchSettings } from "../../../coordinator/dispatch/settings.ts";
import { newDispatchState, type ScopeTerms } from "../../../coordinator/dispatch/state.ts";

/** Dispatch with a clock that the test moves; events are those of `events.ts`. */
export function scene(settings: Partial<DispatchSettings> = {}) {
  const state = newDispatchState(DispatchSettings.parse({ affinityMs: 100, ...settings }));
  let nowMs = 1_000;
  const on = (event: DispatchEvent): Decision[] => advance(state, event, nowMs);
  const submitOf = (
    terms: ScopeTerms,
    checkpoint: string,
    scope: string,
    ...fingerprints: readonly string[]
  ): Decision[] =>
    on({
      ...{ kind: "submitted", scope, terms },
      operations: fingerprints.map((fingerprint) => ({ fingerprint, checkpoint })),
    });
  return {
    state,
    on,
    /** Time passes, and nobody looks. */
    pass(ms: number): void {
      nowMs += ms;
    },
    submitOf,
    wait(ms: number): Decision[] {
      nowMs += ms;
      return on({ kind: "tick" });
    },
    join(
      session: number,
      {
        workerId = `w${session}`,
        deviceClass = "cpu",
        forms = ["primitive"],
        memoryBytes = 0,
        credit = 1,
        cached = [] as string[],
      } = {},
    ) {
      return [
        ...on({
          ...{ kind: "joined", session, workerId, deviceClass, forms, memoryBytes },
          cachedCheckpoints: cached,
        }),
        ...on({ kind: "credit", session, leases: credit }),
      ];
    },
    submit(...fingerprints: string[]): Decision[] {
      return on({
        kind: "submitted",
        scope: "s",
        operations: fingerprints.map((fingerprint) => ({ fingerprint, checkpoint: "model" })),
      });
    },
    submitFor(checkpoint: string, scope: string, ...fingerprints: string[]): Decision[] {
      return submitOf({}, checkpoint, scope, ...fingerprints);
    },
    submitFused(...fingerprints: string[]): Decision[] {
      return on({
        kind: "submitted",
        scope: "s",
        operations: fingerprints.map((fingerprint) => ({ fingerprint, checkpoint: "model", form: "fused" })),
      });
    },
    /** An operation whose result came before it was asked for, from these workers of these classes. */
    submitLate(
      fingerprint: string,
      early: readonly { readonly workerId: string; readonly deviceClass: string }[],
      deviceClass?: string,
    ): Decision[] {
      const operations = [{ fingerprint, checkpoint: "model", early }];
      return on({ kind: "submitted", scope: "s", terms: { deviceClass }, operations });
    },
    /** An operation that goes on from a state: the segment of a training run. */
    submitFrom(state: string, fingerprint: string): Decision[] {
      return on({
        kind: "submitted",
        scope: "s",
        operations: [{ fingerprint, checkpoint: "model", state, kind: "train-run" }],
      });
    },
    /** A result that leaves a state with its worker. */
    leaves(state: string, fingerprint: string, workerId: string): Decision[] {
      const event = {
        kind: "result",
        fingerprint,
        workerId,
        deviceClass: "cpu",
        state,
      } as const;
      return on({ ...event, verdict: { kind: "valid" } });
    },
    valid(fingerprint: string, workerId: string, deviceClass = "cpu", seconds = 0): Decision[] {
      const event = { kind: "result", fingerprint, workerId, deviceClass, seconds } as const;
      return on({ ...event, verdict: { kind: "valid" } });
    },
    /** A valid result of an operation that is being checked: `answer` is the number of the answer that it agrees with, or of a new one. */
    answers(fingerprint: string, workerId: string, answer: number): Decision[] {
      const answers = new Map([[`check/s/${fingerprint}`, answer]]);
      const event = { kind: "result", fingerprint, workerId, deviceClass: "cpu", answers } as const;
      return on({ ...event, verdict: { kind: "valid" } });
    },
    invalid(fingerprint: string, workerId: string): Decision[] {
      const verdict = { kind: "invalid", reason: "NaN" } as const;
      return on({ kind: "result", fingerprint, workerId, deviceClass: "cpu", verdict });
    },
  };
}

/** The leases among decisions, as "fingerprint → session". */
export const leasesIn = (decisions: readonly Decision[]): string[] =>
  decisions.flatMap((decision) =>
    decision.kind === "lease" ? [`${decision.fingerprint} → ${decision.session}`] : [],
  );

/** Decisions of the given kinds only. */
export const only = <K extends Decision["kind"]>(decisions: readonly Decision[], ...kinds: K[]) =>
  decisions.filter((decision): decision is Extract<Decision, { kind: K }> =>
    (kinds as string[]).includes(decision.kind),
  );
