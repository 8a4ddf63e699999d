import fc from "fast-check";
import { expect, test } from "vitest";
import { advance } from "../../../coordinator/dispatch/advance.ts";
import type { Decision, DispatchEvent, Verdict } from "../../../coordinator/dispatch/events.ts";
import { DispatchSettings } from "../../../coordinator/dispatch/settings.ts";
import { type DispatchState, newDispatchState } from "../../../coordinator/dispatch/state.ts";

const session = fc.integer({ min: 1, max: 6 });
const fingerprint = fc.integer({ min: 0, max: 30 }).map((i) => `op${i}`);
const scope = fc.constantFrom("s1", "s2");
const deviceClass = fc.constantFrom("cpu", "cuda");
const leaseIds = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 6 });

const verdict: fc.Arbitrary<Verdict> = fc.oneof(
  { weight: 5, arbitrary: fc.constant({ kind: "valid" } as const) },
  fc.constant({ kind: "invalid", reason: "NaN" } as const),
  fc.record({ kind: fc.constant("error" as const), retryable: fc.boolean(), message: fc.constant("no") }),
);

const event: fc.Arbitrary<DispatchEvent> = fc.oneof(
  fc.record({
    kind: fc.constant("joined" as const),
    session,
    workerId: session.map((i) => `w${i % 4}`),
    deviceClass,
    cachedCheckpoints: fc.subarray(["m0", "m1"]),
  }),
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("credit" as const), session, leases: fc.nat(5) }) },
  fc.record({ kind: fc.constant("heartbeat" as const), session, leaseIds, runningLeaseId: fc.nat(60) }),
  fc.record({ kind: fc.constant("draining" as const), session, returnedLeaseIds: leaseIds }),
  fc.record({ kind: fc.constant("left" as const), session, reason: fc.constant("cut") }),
  fc.record({ kind: fc.constant("writable" as const), session, writable: fc.boolean() }),
  fc.record({
    kind: fc.constant("child-died" as const),
    session,
    leaseId: fc.integer({ min: 1, max: 60 }),
    reason: fc.constant("SIGSEGV"),
  }),
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("result" as const),
      fingerprint,
      workerId: session.map((i) => `w${i % 4}`),
      deviceClass,
      verdict,
    }),
  },
  fc.record({
    kind: fc.constant("malformed" as const),
    workerId: session.map((i) => `w${i % 4}`),
    reason: fc.constant("garbage"),
  }),
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("submitted" as const),
      scope,
      operations: fc.array(
        fingerprint.map((each) => ({ fingerprint: each, checkpoint: `m${each.length % 2}` })),
        { maxLength: 8 },
      ),
    }),
  },
  fc.record({
    kind: fc.constant("withdrawn" as const),
    keys: fc.array(
      fc.tuple(scope, fingerprint).map(([s, f]) => `${s}/${f}`),
      { maxLength: 3 },
    ),
    reason: fc.constant("aborted"),
  }),
  fc.record({ kind: fc.constant("scope-closed" as const), scope }),
  { weight: 2, arbitrary: fc.constant({ kind: "tick" } as const) },
);

const history = fc.array(fc.tuple(event, fc.nat(800)), { maxLength: 120 });

const scopeOfKey = (key: string): string => key.slice(0, key.indexOf("/"));

/** What the world has seen, kept apart from the state that is tested. */
class Ledger {
  readonly waiting = new Set<string>();
  readonly credit = new Map<number, number>();
  readonly classOfSession = new Map<number, string>();
  /** Of scopes of which a result was used. */
  readonly classOfScope = new Map<string, string>();

  note(event: DispatchEvent, decisions: readonly Decision[]): void {
    const closed = event.kind === "scope-closed" ? event.scope : undefined;
    if (event.kind === "submitted") {
      for (const each of event.operations) this.waiting.add(`${event.scope}/${each.fingerprint}`);
    }
    if (event.kind === "withdrawn") for (const key of event.keys) this.waiting.delete(key);
    if (closed) {
      for (const key of [...this.waiting]) if (key.startsWith(`${closed}/`)) this.waiting.delete(key);
      this.classOfScope.delete(closed);
    }
    if (event.kind === "joined") {
      this.credit.set(event.session, 0);
      this.classOfSession.set(event.session, event.deviceClass);
    }
    if (event.kind === "left") this.credit.delete(event.session);
    if (event.kind === "credit" && this.credit.has(event.session)) {
      this.credit.set(event.session, this.credit.get(event.session)! + event.leases);
    }
    for (const decision of decisions) this.#noteDecision(event, decision);
  }

  #noteDecision(event: DispatchEvent, decision: Decision): void {
    if (decision.kind === "resolve" || decision.kind === "fail") {
      expect(this.waiting.delete(decision.key), `${decision.key} ended, though nobody waited`).toBe(true);
    }
    if (decision.kind === "resolve" && event.kind === "result") this.#pin(decision.key, event.deviceClass);
    if (decision.kind === "lease") {
      const left = (this.credit.get(decision.session) ?? 0) - 1;
      expect(left, "credit exceeded").toBeGreaterThanOrEqual(0);
      this.credit.set(decision.session, left);
      const deviceClass = this.classOfSession.get(decision.session)!;
      const wanted = this.classOfScope.get(scopeOfKey(decision.key));
      expect(wanted ?? deviceClass, "a lease for another class than the results'").toBe(deviceClass);
    }
  }

  #pin(key: string, deviceClass: string): void {
    const scope = scopeOfKey(key);
    expect(this.classOfScope.get(scope) ?? deviceClass, "classes mixed in one scope").toBe(deviceClass);
    this.classOfScope.set(scope, deviceClass);
  }
}

function checkState(state: DispatchState, ledger: Ledger): void {
  expect(new Set(state.operations.keys())).toEqual(ledger.waiting);
  const waitingInLanes = [...state.lanes.values()].flatMap(({ line }) => line.keys);
  const leased = [...state.leases.values()].map(({ key }) => key);
  // Every operation either waits once or has a live lease, or two on different workers.
  expect([...waitingInLanes, ...new Set(leased)].sort()).toEqual([...ledger.waiting].sort());
  for (const { leases } of state.operations.values()) {
    const holders = [...leases].map((id) => state.workers.get(state.leases.get(id)!.session)!.workerId);
    expect(holders.length).toBeLessThanOrEqual(2);
    expect(new Set(holders).size, "an operation twice on one worker").toBe(holders.length);
  }
  for (const lease of state.leases.values()) {
    expect(state.operations.get(lease.key)?.leases.has(lease.id)).toBe(true);
    expect(state.workers.get(lease.session)?.leases.has(lease.id)).toBe(true);
  }
  for (const [name, scope] of state.scopes) {
    const live = [...state.leases.values()].filter(({ key }) => scopeOfKey(key) === name);
    expect(scope.leases).toBe(live.length);
    for (const { session: holder } of live)
      expect(state.workers.get(holder)!.deviceClass, "classes mixed among leases").toBe(scope.deviceClass);
  }
  const held = [...state.workers.values()].flatMap(({ leases }) => [...leases]);
  expect(held.length).toBe(state.leases.size);
  for (const worker of state.workers.values()) {
    const alone = worker.reservedFor !== undefined && [...state.operations.get(worker.reservedFor)!.leases];
    if (alone && alone.length > 0)
      expect([...worker.leases], "the last try is alone on its worker").toEqual(alone);
  }
}

/** Most results are those of a lease that is live: of nobody's choice they would hardly ever be. */
function aimed(each: DispatchEvent, { leases, workers }: DispatchState): DispatchEvent {
  const number = each.kind === "result" ? Number(each.fingerprint.slice(2)) : 0;
  if (each.kind !== "result" || number >= 20 || leases.size === 0) return each;
  const { key, session: holder } = [...leases.values()][number % leases.size]!;
  const { workerId, deviceClass: ofWorker } = workers.get(holder)!;
  return { ...each, fingerprint: key.slice(key.indexOf("/") + 1), workerId, deviceClass: ofWorker };
}

function run(events: readonly (readonly [DispatchEvent, number])[]) {
  const state = newDispatchState(
    DispatchSettings.parse({
      ...{ leaseMs: 1_000, longestLeaseMs: 3_000, affinityMs: 500 },
      ...{ speculateFactor: 0.2, speculateAfterMs: 1 },
    }),
  );
  const ledger = new Ledger();
  const log: Decision[] = [];
  const clock = { nowMs: 0 };
  const apply = (each: DispatchEvent) => {
    const decisions = advance(state, each, clock.nowMs);
    ledger.note(each, decisions);
    checkState(state, ledger);
    log.push(...decisions);
    return decisions;
  };
  for (const [each, afterMs] of events) {
    clock.nowMs += afterMs;
    // A session number is used once.
    if (each.kind === "joined" && state.workers.has(each.session)) continue;
    apply(aimed(each, state));
  }
  return { state, ledger, log, clock, apply };
}

test("whatever happens: two live leases at most, credit kept, classes never mixed, each operation ends once", () => {
  fc.assert(
    fc.property(history, (events) => void run(events)),
    { numRuns: 400 },
  );
});

test("whatever happened before, two good workers finish everything that is left", () => {
  fc.assert(
    fc.property(history, (events) => {
      const { state, ledger, clock, apply } = run(events);
      for (const number of [...state.workers.keys()])
        apply({ kind: "left", session: number, reason: "over" });
      for (const [number, device] of [
        [101, "cpu"],
        [102, "cuda"],
      ] as const) {
        apply({
          kind: "joined",
          session: number,
          workerId: `good${number}`,
          deviceClass: device,
          cachedCheckpoints: [],
        });
        apply({ kind: "credit", session: number, leases: 1_000 });
      }
      for (let turn = 0; ledger.waiting.size > 0 && turn < 200; turn++) {
        clock.nowMs += 10;
        for (const { key, session: holder } of [...state.leases.values()]) {
          const worker = state.workers.get(holder)!;
          apply({
            kind: "result",
            fingerprint: key.slice(key.indexOf("/") + 1),
            workerId: worker.workerId,
            deviceClass: worker.deviceClass,
            verdict: { kind: "valid" },
          });
        }
      }
      expect([...ledger.waiting]).toEqual([]);
      expect(state.lanes.size + state.leases.size + state.keysOf.size).toBe(0);
    }),
    { numRuns: 300 },
  );
});

test("the same events at the same times give the same decisions", () => {
  fc.assert(
    fc.property(history, (events) => void expect(run(events).log).toEqual(run(events).log)),
    { numRuns: 50 },
  );
});
