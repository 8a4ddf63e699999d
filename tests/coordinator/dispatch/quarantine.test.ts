import { describe, expect, test } from "vitest";
import { leasesIn, only, scene } from "./scene.ts";

describe("quarantine", () => {
  const die = (cluster: ReturnType<typeof scene>, session: number) => {
    const [leaseId] = [...cluster.state.leases.values()].filter((l) => l.key === "s/bad").map((l) => l.id);
    return cluster.on({ kind: "child-died", session, leaseId: leaseId!, reason: "SIGSEGV" });
  };

  test("the third death of the child gives the operation up, the third try alone on a worker", () => {
    const cluster = scene();
    cluster.join(1, { credit: 10 });
    cluster.submit("bad");
    cluster.join(2, { credit: 10 });
    expect(leasesIn(die(cluster, 1))).toEqual(["bad → 2"]);
    cluster.submit("v", "x", "y");
    // Both workers hold other leases, so one is kept free until it has none.
    expect(leasesIn(die(cluster, 2))).toEqual([]);
    const reserved = [...cluster.state.workers.values()].filter((w) => w.reservedFor === "s/bad");
    expect(reserved).toHaveLength(1);
    const { session, workerId, leases } = reserved[0]!;
    expect(leasesIn(cluster.submit("z"))).toEqual([`z → ${3 - session}`]);
    const mine = [...leases].map((id) => cluster.state.leases.get(id)!.key.slice(2));
    const decisions = mine.flatMap((fingerprint) => cluster.valid(fingerprint, workerId));
    expect(leasesIn(decisions)).toEqual([`bad → ${session}`]);
    // Nothing joins it there.
    expect(leasesIn(cluster.submit("q"))).toEqual([`q → ${3 - session}`]);
    expect(only(die(cluster, session), "fail")).toMatchObject([
      {
        key: "s/bad",
        reason: expect.stringContaining(
          "the inference process died 3 times while it ran (on w1: SIGSEGV",
        ) as string,
      },
    ]);
  });

  test("leases that waited behind it on the worker are not touched", () => {
    const cluster = scene();
    cluster.join(1, { credit: 3 });
    cluster.submit("bad", "x");
    die(cluster, 1);
    expect(cluster.state.operations.get("s/x")).toMatchObject({ leases: new Set([2]), childDeaths: 0 });
  });

  test("a worker that is kept free for it does not get it where its job has results of another class by then", () => {
    const cluster = scene({ maxChildDeaths: 2 });
    cluster.join(1, { credit: 10 });
    cluster.submitFor("model", "other", "x");
    cluster.submit("bad");
    die(cluster, 1);
    expect(cluster.state.workers.get(1)?.reservedFor).toBe("s/bad");
    cluster.submit("y");
    expect(leasesIn(cluster.join(2, { deviceClass: "cuda" }))).toEqual(["y → 2"]);
    cluster.valid("y", "w2", "cuda");
    expect(leasesIn(cluster.valid("x", "w1"))).toEqual([]);
    expect(cluster.state.workers.get(1)?.reservedFor).toBeUndefined();
    expect(cluster.state.scopes.get("s")?.deviceClass).toBe("cuda");
    expect(leasesIn(cluster.on({ kind: "credit", session: 2, leases: 1 }))).toEqual(["bad → 2"]);
  });

  test("a worker that leaves or drains is no longer kept free", () => {
    const cluster = scene({ maxChildDeaths: 2 });
    cluster.join(1, { credit: 10 });
    cluster.submit("bad", "x");
    die(cluster, 1);
    expect(cluster.state.workers.get(1)?.reservedFor).toBe("s/bad");
    cluster.on({ kind: "draining", session: 1, returnedLeaseIds: [] });
    expect(leasesIn(cluster.join(2))).toEqual(["bad → 2"]);
  });
});
