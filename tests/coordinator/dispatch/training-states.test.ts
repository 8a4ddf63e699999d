import { describe, expect, test } from "vitest";
import { leasesIn, scene } from "./scene.ts";

describe("states of training runs", () => {
  /** Two workers, of which the second has a state. */
  function owned() {
    const cluster = scene();
    cluster.join(1, { credit: 0 });
    cluster.join(2, { credit: 1 });
    cluster.submit("first segment");
    cluster.leaves("state", "first segment", "w2");
    return cluster;
  }

  test("an operation waits for the worker that has its state, while others are free", () => {
    const cluster = owned();
    cluster.on({ kind: "credit", session: 1, leases: 2 });
    expect(leasesIn(cluster.submitFrom("state", "a"))).toEqual([]);
    expect(leasesIn(cluster.submit("b"))).toEqual(["b → 1"]);
    expect(leasesIn(cluster.on({ kind: "credit", session: 2, leases: 1 }))).toEqual(["a → 2"]);
  });

  test("it goes to another when that worker is lost, drains, or has no room for too long", () => {
    for (const event of [
      { kind: "left", session: 2, reason: "killed" },
      { kind: "draining", session: 2, returnedLeaseIds: [] },
    ] as const) {
      const cluster = owned();
      cluster.on({ kind: "credit", session: 1, leases: 1 });
      expect(leasesIn(cluster.submitFrom("state", "a"))).toEqual([]);
      expect(leasesIn(cluster.on(event))).toEqual(["a → 1"]);
    }
    const cluster = owned();
    cluster.on({ kind: "credit", session: 1, leases: 1 });
    cluster.submitFrom("state", "a");
    expect(leasesIn(cluster.wait(100))).toEqual([]);
    expect(leasesIn(cluster.wait(1))).toEqual(["a → 1"]);
  });

  test("it goes to anyone where nobody has its state, or where it went wrong on who has it", () => {
    const cluster = owned();
    cluster.on({ kind: "credit", session: 1, leases: 2 });
    expect(leasesIn(cluster.submitFrom("another", "a"))).toEqual(["a → 1"]);
    cluster.on({ kind: "credit", session: 2, leases: 1 });
    expect(leasesIn(cluster.submitFrom("state", "b"))).toEqual(["b → 2"]);
    expect(leasesIn(cluster.invalid("b", "w2"))).toEqual(["b → 1"]);
  });

  test("a worker that comes back still has its state", () => {
    const cluster = owned();
    cluster.on({ kind: "left", session: 2, reason: "cut" });
    cluster.join(3, { workerId: "w2", credit: 0 });
    cluster.on({ kind: "credit", session: 1, leases: 1 });
    expect(leasesIn(cluster.submitFrom("state", "a"))).toEqual([]);
    expect(leasesIn(cluster.on({ kind: "credit", session: 3, leases: 1 }))).toEqual(["a → 3"]);
  });

  test("nothing is kept of a state that was gone on from, was released, or that nobody asked for", () => {
    const goneOnFrom = owned();
    goneOnFrom.on({ kind: "credit", session: 2, leases: 1 });
    goneOnFrom.submitFrom("state", "a");
    expect(goneOnFrom.state.holders).toEqual(new Map([["state", new Set(["w2"])]]));
    goneOnFrom.leaves("next state", "a", "w2");
    expect([...goneOnFrom.state.holders.keys()]).toEqual(["next state"]);
    goneOnFrom.on({ kind: "released", digest: "next state" });
    expect(goneOnFrom.state.holders.size).toBe(0);
    goneOnFrom.leaves("late state", "a", "w2");
    expect(goneOnFrom.state.holders.size).toBe(0);
  });
});
