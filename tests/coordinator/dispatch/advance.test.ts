import { describe, expect, test } from "vitest";
import { waitingReason } from "../../../coordinator/dispatch/waiting-reason.ts";
import { leasesIn, only, scene } from "./scene.ts";

describe("leases", () => {
  test("operations go to the worker with the fewest leases, in order, within its credit", () => {
    const cluster = scene();
    cluster.join(1, { credit: 2 });
    cluster.join(2, { credit: 2 });
    expect(leasesIn(cluster.submit("a", "b", "c", "d", "e"))).toEqual(["a → 1", "b → 2", "c → 1", "d → 2"]);
    expect(leasesIn(cluster.on({ kind: "credit", session: 2, leases: 1 }))).toEqual(["e → 2"]);
  });

  test("a worker whose stream is full gets nothing until it drains", () => {
    const cluster = scene();
    cluster.join(1);
    cluster.on({ kind: "writable", session: 1, writable: false });
    expect(leasesIn(cluster.submit("a"))).toEqual([]);
    expect(leasesIn(cluster.on({ kind: "writable", session: 1, writable: true }))).toEqual(["a → 1"]);
  });

  test("a lost worker costs its own leases only, and they go to others at once, in their old order", () => {
    const cluster = scene();
    cluster.join(1, { credit: 2 });
    cluster.join(2, { credit: 2 });
    cluster.submit("a", "b", "c", "d", "e");
    cluster.join(3, { credit: 1 });
    cluster.on({ kind: "credit", session: 2, leases: 2 });
    expect(leasesIn(cluster.on({ kind: "left", session: 1, reason: "killed" }))).toEqual(["a → 2", "c → 2"]);
    expect(cluster.state.leases.size).toBe(5);
  });

  test("a lease that no heartbeat names expires, is cancelled and goes to another worker", () => {
    const cluster = scene({ leaseMs: 1_000 });
    cluster.join(1, { credit: 2 });
    cluster.submit("a", "b");
    cluster.join(2, { credit: 2 });
    cluster.wait(600);
    cluster.on({ kind: "heartbeat", session: 1, leaseIds: [2], runningLeaseId: 2 });
    cluster.on({ kind: "heartbeat", session: 2, leaseIds: [], runningLeaseId: 0 });
    const decisions = cluster.wait(600);
    expect(only(decisions, "cancel")).toMatchObject([
      { session: 1, leaseId: 1, reason: "the lease expired" },
    ]);
    expect(leasesIn(decisions)).toEqual(["a → 2"]);
  });

  test("renewal ends at the longest lease: a child may hang while its supervisor is well", () => {
    const cluster = scene({ leaseMs: 1_000, longestLeaseMs: 2_500 });
    cluster.join(1);
    cluster.submit("a");
    for (let i = 0; i < 4; i++) {
      expect(only(cluster.wait(500), "cancel")).toEqual([]);
      cluster.on({ kind: "heartbeat", session: 1, leaseIds: [1], runningLeaseId: 1 });
    }
    expect(only(cluster.wait(500), "cancel")).toHaveLength(1);
  });

  test("a long operation is renewed for as long as parts of it are done", () => {
    const cluster = scene({ leaseMs: 1_000, longestLeaseMs: 2_500 });
    cluster.join(1);
    cluster.submit("a");
    const beat = (partsDone: number) =>
      cluster.on({ kind: "heartbeat", session: 1, leaseIds: [1], runningLeaseId: 1, partsDone });
    for (let part = 1; part <= 10; part++) {
      expect(only(cluster.wait(500), "cancel")).toEqual([]);
      beat(part);
    }
    for (let i = 0; i < 4; i++) {
      expect(only(cluster.wait(500), "cancel")).toEqual([]);
      beat(10);
    }
    expect(only(cluster.wait(500), "cancel")).toHaveLength(1);
  });

  test("a silent worker gets no leases", () => {
    const cluster = scene({ leaseMs: 1_000 });
    cluster.join(1, { credit: 5 });
    cluster.wait(1_001);
    expect(leasesIn(cluster.submit("a"))).toEqual([]);
    expect(leasesIn(cluster.on({ kind: "heartbeat", session: 1, leaseIds: [], runningLeaseId: 0 }))).toEqual([
      "a → 1",
    ]);
  });

  test("a draining worker gives back what it has not started and gets nothing more", () => {
    const cluster = scene();
    cluster.join(1, { credit: 4 });
    cluster.submit("a", "b", "c");
    const decisions = cluster.on({ kind: "draining", session: 1, returnedLeaseIds: [2, 3] });
    expect(only(decisions, "lease-ended").map(({ leaseId, end }) => [leaseId, end])).toEqual([
      [2, "returned"],
      [3, "returned"],
    ]);
    expect(leasesIn(cluster.join(2, { credit: 4 }))).toEqual(["b → 2", "c → 2"]);
    expect(only(cluster.valid("a", "w1"), "resolve", "accept")).toHaveLength(2);
  });

  test("a worker that dials again replaces its old stream", () => {
    const cluster = scene();
    cluster.join(1, { workerId: "w" });
    cluster.submit("a");
    const decisions = cluster.join(2, { workerId: "w" });
    expect(only(decisions, "disconnect")).toMatchObject([{ session: 1 }]);
    expect(leasesIn(decisions)).toEqual(["a → 2"]);
  });

  test("withdrawn operations are cancelled where they run and forgotten where they wait", () => {
    const cluster = scene();
    cluster.join(1);
    cluster.submit("a", "b");
    const decisions = cluster.on({ kind: "withdrawn", keys: ["s/a", "s/b"], reason: "aborted" });
    expect(only(decisions, "cancel")).toMatchObject([{ leaseId: 1, reason: "aborted" }]);
    expect(cluster.state).toMatchObject({ operations: new Map(), lanes: new Map(), keysOf: new Map() });
  });

  test("a coordinator that drains gives no more leases", () => {
    const cluster = scene();
    cluster.on({ kind: "drain" });
    cluster.join(1);
    expect(leasesIn(cluster.submit("a"))).toEqual([]);
  });
});

describe("affinity", () => {
  test("a worker stays with the checkpoint that it has loaded", () => {
    const cluster = scene();
    cluster.join(1);
    cluster.submitFor("m1", "s", "a1");
    cluster.submitFor("m2", "s", "b1");
    cluster.submitFor("m1", "s", "a2");
    cluster.valid("a1", "w1");
    expect(leasesIn(cluster.on({ kind: "credit", session: 1, leases: 1 }))).toEqual(["a2 → 1"]);
  });

  test("of two idle workers, the one with the checkpoint in its cache takes its operation", () => {
    const cluster = scene();
    cluster.submitFor("m1", "s", "a");
    cluster.submitFor("m2", "s", "b");
    expect(leasesIn(cluster.join(1, { cached: ["m2"] }))).toEqual(["b → 1"]);
  });

  test("a checkpoint that nobody has loaded is not starved", () => {
    const cluster = scene({ affinityMs: 100 });
    cluster.join(1);
    cluster.submitFor("m1", "s", "a1");
    cluster.submitFor("m2", "s", "b1");
    cluster.submitFor("m1", "s", "a2");
    cluster.valid("a1", "w1");
    cluster.wait(101);
    expect(leasesIn(cluster.on({ kind: "credit", session: 1, leases: 1 }))).toEqual(["b1 → 1"]);
  });
});

test("jobs that are over leave nothing behind, however they and their workers ended", () => {
  const cluster = scene();
  for (let job = 0; job < 5; job++) {
    const scope = `job ${job}`;
    cluster.join(2 * job, { workerId: "stays", credit: 2 });
    cluster.join(2 * job + 1, { workerId: "goes", credit: 2 });
    cluster.submitFor("model", scope, "a", "b", "c", "d", "e");
    cluster.valid("a", "stays");
    cluster.invalid("b", "goes");
    cluster.on({ kind: "left", session: 2 * job + 1, reason: "killed" });
    cluster.on({ kind: "scope-closed", scope });
  }
  cluster.on({ kind: "left", session: 8, reason: "goodbye" });
  const { operations, keysOf, leases, scopes, lanes, holders, workers, owedAccepts } = cluster.state;
  for (const map of [operations, keysOf, leases, scopes, lanes, holders, workers, owedAccepts])
    expect([...map]).toEqual([]);
});

describe("device classes", () => {
  test("one scope stays with the class of its first worker; another scope may use the other", () => {
    const cluster = scene();
    cluster.join(1, { deviceClass: "cpu", credit: 1 });
    cluster.submit("a", "b");
    cluster.join(2, { deviceClass: "cuda", credit: 5 });
    expect(cluster.state.workers.get(2)?.leases.size).toBe(0);
    expect(leasesIn(cluster.submitFor("model", "other", "b"))).toEqual(["b → 2"]);
  });

  test("an operation in a form waits for a worker that has the form, and the others go on meanwhile", () => {
    const cluster = scene();
    cluster.join(1, { credit: 5 });
    expect(leasesIn([...cluster.submit("b"), ...cluster.submitFused("a")])).toEqual(["b → 1"]);
    expect(waitingReason(cluster.state, 1_000)).toBe(
      "it needs programs in the fused form, which no connected worker of its device class, cpu, has",
    );
    expect(leasesIn(cluster.join(2, { forms: ["primitive", "fused"], credit: 5 }))).toEqual(["a → 2"]);
    expect(waitingReason(cluster.state, 1_000)).toBeUndefined();
  });

  test("an operation that went wrong on the one worker with its form stays there, whoever else is there", () => {
    const cluster = scene();
    cluster.join(1, { credit: 5 });
    cluster.join(2, { forms: ["primitive", "fused"], credit: 5 });
    expect(leasesIn(cluster.submitFused("a"))).toEqual(["a → 2"]);
    expect(leasesIn(cluster.invalid("a", "w2"))).toEqual(["a → 2"]);
  });

  test("a result of another class answers nobody whose scope is pinned", () => {
    const cluster = scene();
    cluster.join(1);
    cluster.submit("a");
    expect(only(cluster.valid("a", "w9", "cuda"), "resolve")).toEqual([]);
    expect(only(cluster.valid("a", "w1", "cpu"), "resolve")).toMatchObject([{ key: "s/a" }]);
  });
});

describe("results", () => {
  test("the first one wins; later ones are accepted too, so that outboxes empty", () => {
    const cluster = scene();
    cluster.join(1);
    cluster.submit("a");
    expect(only(cluster.valid("a", "w1"), "resolve", "accept")).toMatchObject([
      { key: "s/a" },
      { session: 1 },
    ]);
    expect(only(cluster.valid("a", "w1"), "resolve", "accept")).toMatchObject([{ session: 1 }]);
  });

  test("a late result still counts, and the worker that has the operation now may let it run", () => {
    const cluster = scene({ leaseMs: 1_000 });
    cluster.join(1);
    cluster.submit("a");
    cluster.wait(1_001);
    cluster.join(2);
    const decisions = cluster.valid("a", "w1");
    expect(only(decisions, "resolve")).toHaveLength(1);
    expect(only(decisions, "cancel")).toMatchObject([{ session: 2, letRun: true }]);
    expect(cluster.state.leases.size).toBe(0);
  });

  test("a worker that is away when its result arrives is told when it comes back", () => {
    const cluster = scene();
    cluster.join(1, { workerId: "w" });
    cluster.submit("a");
    cluster.join(3, { credit: 0 });
    cluster.on({ kind: "left", session: 1, reason: "cut" });
    expect(only(cluster.valid("a", "w"), "resolve", "accept")).toMatchObject([{ kind: "resolve" }]);
    expect(only(cluster.join(2, { workerId: "w" }), "accept")).toMatchObject([
      { session: 2, fingerprint: "a" },
    ]);
  });

  test("an invalid result sends the operation elsewhere; the third one fails it with the reasons", () => {
    const cluster = scene();
    cluster.join(1, { credit: 9 });
    cluster.submit("a");
    cluster.join(2, { credit: 9 });
    expect(leasesIn(cluster.invalid("a", "w1"))).toEqual(["a → 2"]);
    // Both had their chance: anyone may try again.
    expect(leasesIn(cluster.invalid("a", "w2"))).toHaveLength(1);
    const holder = cluster.state.workers.get(cluster.state.leases.get(3)!.session)!.workerId;
    expect(only(cluster.invalid("a", holder), "fail")).toMatchObject([
      { key: "s/a", reason: expect.stringMatching(/^it failed 3 times \(on w1: invalid result: NaN; on w2/) },
    ]);
  });

  test("an invalid result from someone who has no lease harms nobody", () => {
    const cluster = scene();
    cluster.join(1);
    cluster.submit("a");
    cluster.join(2, { credit: 0 });
    cluster.invalid("a", "w2");
    expect(cluster.state.operations.get("s/a")).toMatchObject({ attempts: 0, leases: new Set([1]) });
  });

  test("an error that no worker can avoid fails the operation at once, a retryable one sends it elsewhere", () => {
    const cluster = scene();
    cluster.join(1, { credit: 2 });
    cluster.submit("a", "b");
    cluster.join(2, { credit: 2 });
    const say = (fingerprint: string, retryable: boolean) =>
      cluster.on({
        kind: "result",
        fingerprint,
        workerId: "w1",
        deviceClass: "cpu",
        verdict: { kind: "error", retryable, message: "no such row" },
      });
    expect(only(say("a", false), "fail", "lease")).toEqual([
      { kind: "fail", key: "s/a", reason: "no such row" },
    ]);
    expect(leasesIn(say("b", true))).toEqual(["b → 2"]);
  });
});
