import { expect } from "vitest";
import type { Decision } from "../../../coordinator/dispatch/events.ts";
import type { DispatchSettings } from "../../../coordinator/dispatch/settings.ts";
import type { DispatchState } from "../../../coordinator/dispatch/state.ts";
import { scene } from "./scene.ts";

/** Two leases of an operation at most, on different workers. */
function checkLeases({ operations, leases }: DispatchState): void {
  for (const operation of operations.values()) {
    const holders = [...operation.leases].map((id) => leases.get(id)!.session);
    expect(holders.length).toBeLessThanOrEqual(2);
    expect(new Set(holders).size).toBe(holders.length);
  }
}

/** Workers on the clock of a scene: each computes its leases one after the other, and lets what runs go on when it is told so. */
export function virtualWorkers(
  msOf: readonly number[],
  { window = 3, ...settings }: { readonly window?: number } & Partial<DispatchSettings> = {},
) {
  const cluster = scene({ moveAfterMs: 5, ...settings });
  let nowMs = 0;
  const calendar: { readonly atMs: number; readonly act: () => void }[] = [];
  const at = (atMs: number, act: () => void) => void calendar.push({ atMs, act });
  const workers = msOf.map((ms) => ({
    ms,
    queue: [] as { leaseId: number; fingerprint: string }[],
    runs: false,
  }));
  const computed = new Map<string, number>();
  const resolved = new Set<string>();
  let seconds = 0;
  let looksAtMs = Number.POSITIVE_INFINITY;

  const carryOut = (decisions: readonly Decision[]): void => {
    for (const decision of decisions) {
      if (decision.kind === "lease") {
        if (decision.second) seconds++;
        checkLeases(cluster.state);
        workers[decision.session - 1]!.queue.push(decision);
        begin(decision.session);
      } else if (decision.kind === "cancel") {
        const { queue, runs } = workers[decision.session - 1]!;
        const place = queue.findIndex(({ leaseId }) => leaseId === decision.leaseId);
        if (place < (runs ? 1 : 0)) continue;
        queue.splice(place, 1);
        give({ kind: "credit", session: decision.session, leases: 1 });
      } else if (decision.kind === "resolve") resolved.add(decision.key);
      else if (decision.kind === "look-again") lookAgain(nowMs + decision.afterMs);
    }
  };
  const give = (event: Parameters<typeof cluster.on>[0]) => carryOut(cluster.on(event));
  /** One look for all that was asked for until then, as the dispatcher does it. */
  const lookAgain = (atMs: number): void => {
    if (looksAtMs <= atMs) return;
    looksAtMs = atMs;
    at(atMs, () => {
      if (looksAtMs === atMs) looksAtMs = Number.POSITIVE_INFINITY;
      give({ kind: "looked-again" });
    });
  };
  const begin = (session: number): void => {
    const worker = workers[session - 1]!;
    const [lease] = worker.queue;
    if (!lease || worker.runs || worker.ms === Number.POSITIVE_INFINITY) return;
    worker.runs = true;
    at(nowMs + worker.ms, () => {
      worker.queue.shift();
      worker.runs = false;
      computed.set(lease.fingerprint, (computed.get(lease.fingerprint) ?? 0) + 1);
      carryOut(cluster.valid(lease.fingerprint, `w${session}`));
      begin(session);
      give({ kind: "credit", session, leases: 1 });
    });
  };
  const beat = (): void => {
    for (const [k, { queue }] of workers.entries()) {
      const leaseIds = queue.map(({ leaseId }) => leaseId);
      give({ kind: "heartbeat", session: k + 1, leaseIds, runningLeaseId: leaseIds[0] ?? 0 });
    }
    carryOut(cluster.wait(0));
    at(nowMs + 1_000, beat);
  };
  for (const k of workers.keys()) carryOut(cluster.join(k + 1, { credit: window, cached: ["model"] }));
  beat();

  return {
    state: cluster.state,
    workers,
    computed,
    seconds: () => seconds,
    /** Milliseconds from the submission of operations to the last result. */
    step(...fingerprints: string[]): number {
      const startedMs = nowMs;
      carryOut(cluster.submit(...fingerprints));
      while (!fingerprints.every((fingerprint) => resolved.has(`s/${fingerprint}`))) {
        calendar.sort((a, b) => a.atMs - b.atMs);
        const next = calendar.shift()!;
        cluster.pass(next.atMs - nowMs);
        nowMs = next.atMs;
        if (nowMs > 10_000_000) throw new Error("the step never ends");
        next.act();
      }
      return nowMs - startedMs;
    },
  };
}
