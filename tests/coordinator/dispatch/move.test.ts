import { expect, test } from "vitest";
import { leasesIn, only, scene } from "./scene.ts";

/** Two workers of credit 4 with the model; the first one has the operations, the second comes when all are given. */
function oneBusyOneIdle(...fingerprints: string[]) {
  const given = scene({ moveAfterMs: 20 });
  given.join(1, { credit: 4, cached: ["model"] });
  given.submit(...fingerprints);
  return { ...given, come: (cached = ["model"]) => given.join(2, { credit: 4, cached }) };
}

test("a worker that comes free gets the youngest lease that waits behind others", () => {
  const { state, wait, come } = oneBusyOneIdle("a", "b", "c");
  wait(50);
  const decisions = come();
  expect(leasesIn(decisions)).toEqual(["c → 2"]);
  expect(only(decisions, "cancel")).toMatchObject([{ session: 1, leaseId: 3, letRun: true }]);
  expect(only(decisions, "lease-ended")).toMatchObject([{ leaseId: 3, end: "moved" }]);
  expect([...state.workers.values()].map(({ leases }) => leases.size)).toEqual([2, 1]);
});

test("what runs stays, as does what stands alone", () => {
  const { wait, come } = oneBusyOneIdle("a");
  wait(50);
  expect(leasesIn(come())).toEqual([]);
});

test("a lease that is younger than moveAfterMs is looked at again in time, and moves then", () => {
  const { on, wait, come } = oneBusyOneIdle("a", "b");
  wait(5);
  const decisions = come();
  expect(leasesIn(decisions)).toEqual([]);
  expect(only(decisions, "look-again")).toEqual([{ kind: "look-again", afterMs: 15 }]);
  expect(leasesIn(wait(14))).toEqual([]);
  wait(1);
  expect(leasesIn(on({ kind: "looked-again" }))).toEqual([]); // the tick moved it already
});

test("an operation does not move to a worker that lacks its checkpoint, or on which it went wrong", () => {
  const { wait, come } = oneBusyOneIdle("a", "b");
  wait(50);
  expect(leasesIn(come([]))).toEqual([]);

  const { on, join, submit, invalid, wait: pass } = scene();
  join(1, { credit: 4, cached: ["model"] });
  join(2, { credit: 1, cached: ["model"] });
  expect(leasesIn(submit("a", "b", "c"))).toEqual(["a → 1", "b → 2", "c → 1"]);
  pass(50);
  expect(leasesIn(invalid("b", "w2"))).toEqual(["b → 1"]);
  pass(50);
  // "b" is the youngest on the first worker: it stays there, although the second one is idle.
  expect(leasesIn(on({ kind: "credit", session: 2, leases: 1 }))).toEqual([]);
});

test("an operation that goes on from a state stays with the worker that has it", () => {
  const { join, on, wait, submit, submitFrom, leaves } = scene({ affinityMs: 1_000 });
  join(1, { credit: 4, cached: ["model"] });
  submit("begin");
  leaves("state", "begin", "w1");
  expect(leasesIn(submit("other"))).toEqual(["other → 1"]);
  expect(leasesIn(submitFrom("state", "goes-on"))).toEqual(["goes-on → 1"]);
  wait(50);
  expect(leasesIn(join(2, { credit: 1, cached: ["model"] }))).toEqual([]);
  expect(leasesIn(on({ kind: "looked-again" }))).toEqual([]);
});

test("the first result of a moved operation counts, from whomever it comes", () => {
  const { state, valid, wait, come } = oneBusyOneIdle("a", "b");
  wait(50);
  expect(leasesIn(come())).toEqual(["b → 2"]);
  // It had begun on the first worker after all.
  const decisions = valid("b", "w1");
  expect(only(decisions, "resolve")).toHaveLength(1);
  expect(only(decisions, "cancel")).toMatchObject([{ session: 2, letRun: true }]);
  expect(only(valid("b", "w2"), "resolve")).toEqual([]);
  expect(state.leases.size).toBe(1);
});

/** "a" was taken over from the first worker, which it expired on, and came first from the second one; the first one holds nothing else. */
function overtaken() {
  const cluster = scene({ moveAfterMs: 20, leaseMs: 1_000 });
  cluster.join(1, { credit: 4, cached: ["model"] });
  cluster.submit("a");
  cluster.wait(50);
  // Somebody else's result, computed before: the first worker may finish what it has begun.
  cluster.valid("a", "w9");
  cluster.join(2, { credit: 4, cached: ["model"] });
  cluster.join(3, { credit: 0, cached: ["model"] });
  return cluster;
}

test("a worker that finishes what another one did before is not idle until it said so", () => {
  for (const end of ["result", "heartbeat", "child-died"] as const) {
    const { state, on, submit, wait, valid } = overtaken();
    // It has one operation less to do than the first one.
    expect(leasesIn(submit("b", "c", "d"))).toEqual(["b → 2", "c → 1", "d → 2"]);
    expect(state.workers.get(1)!.lingering).toMatchObject({ leaseId: 1, operation: { fingerprint: "a" } });
    wait(50);
    expect(leasesIn(valid("b", "w2"))).toEqual([]);
    wait(50);
    // "c" waits behind what has no lease any more: who is really idle takes it.
    expect(leasesIn(valid("d", "w2"))).toEqual(["c → 2"]);
    on({ kind: "heartbeat", session: 1, leaseIds: [1], runningLeaseId: 1 });
    expect(leasesIn(submit("e"))).toEqual(["e → 1"]);
    expect(state.workers.get(1)!.lingering).toBeDefined();
    if (end === "result") valid("a", "w1");
    else if (end === "heartbeat") on({ kind: "heartbeat", session: 1, leaseIds: [5], runningLeaseId: 5 });
    else on({ kind: "child-died", session: 1, leaseId: 1, reason: "SIGSEGV" });
    expect(state.workers.get(1)!.lingering, end).toBeUndefined();
  }
});
