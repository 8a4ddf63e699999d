import { expect, test } from "vitest";
import type { Decision } from "../../../coordinator/dispatch/events.ts";
import { Reissues } from "../../../coordinator/dispatch/reissues.ts";
import { scopeView } from "../../../coordinator/dispatch/scope-view.ts";
import { scene } from "./scene.ts";

test("a scope's view says which of its operations are out, on whom and for how long, and which wait", () => {
  const dispatch = scene();
  const { state, on, join, submit, pass } = dispatch;
  join(1, { credit: 2 });
  join(2, { deviceClass: "cuda" });
  submit("a", "b", "c");
  dispatch.submitFor("model", "other", "d");
  const [running] = [...state.operations.values()][0]!.leases;
  on({ kind: "heartbeat", session: 1, leaseIds: [running!], runningLeaseId: running! });
  pass(250);
  const view = scopeView(state, "s", { nowMs: 1_250, reissues: [] });
  expect(view).toMatchObject({
    deviceClass: "cpu",
    waiting: 1,
    waitingReason: undefined,
    leases: [
      { workerId: "w1", fingerprint: "a", ageMs: 250, isRunning: true },
      { workerId: "w1", fingerprint: "b", ageMs: 250, isRunning: false },
    ],
    workers: [
      { workerId: "w1", leases: 2, unfit: undefined },
      { workerId: "w2", leases: 1, unfit: "it is of class cuda" },
    ],
  });
  expect(scopeView(state, "nobody", { nowMs: 1_250, reissues: [] })).toMatchObject({
    waiting: 0,
    leases: [],
  });
});

test("it says which worker cannot compute for it and why, and how slow each is", () => {
  const { state, on, join, submit, submitFused, wait, pass } = scene({ leaseMs: 60_000 });
  join(1, { credit: 3 });
  join(2, { credit: 3 });
  submit("a", "b");
  pass(100);
  on({ kind: "result", fingerprint: "a", workerId: "w1", deviceClass: "cpu", verdict: { kind: "valid" } });
  pass(300);
  on({ kind: "result", fingerprint: "b", workerId: "w2", deviceClass: "cpu", verdict: { kind: "valid" } });
  on({ kind: "draining", session: 1, returnedLeaseIds: [] });
  submitFused("f");
  const view = () => scopeView(state, "s", { nowMs: 1_400, reissues: [] });
  expect(view().workers).toMatchObject([
    { workerId: "w1", state: "draining", unfit: "it is leaving", slowness: 1 },
    { workerId: "w2", unfit: "it has no programs in the fused form", slowness: 4 },
  ]);
  expect(view().waitingReason).toContain("fused form, which no connected worker");
  wait(70_000);
  expect(scopeView(state, "s", { nowMs: 80_000, reissues: [] }).workers[1]!.unfit).toMatch(
    /was not heard of for 79 s/,
  );
});

test("what was taken from workers is told with the reason, the latest twenty, and forgotten with the scope", () => {
  const reissues = new Reissues();
  const told = (decisions: readonly Decision[]) =>
    decisions.flatMap((decision) =>
      decision.kind === "lease-ended" ? [reissues.ended(decision.leaseId, decision.end, 5)?.why] : [],
    );
  const { state, on, join, submit, valid } = scene();
  join(1, { credit: 2 });
  submit("a", "b");
  for (const { id, key } of state.leases.values()) {
    const { scope, kind, fingerprint } = state.operations.get(key)!;
    reissues.granted(id, { scope, kind, fingerprint, workerId: "w1" });
  }
  expect(told(valid("a", "w1"))).toEqual([undefined]);
  expect(told(on({ kind: "left", session: 1, reason: "killed" }))).toEqual(["w1 was lost"]);
  expect(reissues.of("s")).toMatchObject([{ fingerprint: "b", end: "lost", atMs: 5 }]);
  for (let lease = 100; lease < 130; lease++) {
    reissues.granted(lease, { scope: "s", kind: "score", fingerprint: String(lease), workerId: "w2" });
    reissues.ended(lease, "child-died", lease);
  }
  expect(reissues.of("s").map(({ fingerprint }) => fingerprint)).toEqual(
    Array.from({ length: 20 }, (_, k) => String(110 + k)),
  );
  reissues.forget("s");
  expect(reissues.of("s")).toEqual([]);
});
