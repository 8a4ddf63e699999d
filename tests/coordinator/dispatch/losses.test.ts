import { expect, test } from "vitest";
import { leasesIn, only, scene } from "./scene.ts";

/** Workers of one id each that come, get what there is, and are lost; sessions count from 1. */
function losing(cluster = scene({ backoffMs: 1 })) {
  let session = 0;
  return {
    cluster,
    join(incarnation: string, workerId = `w${session + 1}`): number {
      session++;
      cluster.on({
        ...{ kind: "joined", session, workerId, incarnation, deviceClass: "cpu" },
        cachedCheckpoints: [],
      });
      cluster.on({ kind: "credit", session, leases: 4 });
      return session;
    },
    lose(which: number, isOrderly = false) {
      return cluster.on({ kind: "left", session: which, reason: "the stream was cut", isOrderly });
    },
    losses: (fingerprint: string) => cluster.state.operations.get(`s/${fingerprint}`)?.losses,
  };
}

test("an operation with which six workers in a row are lost is given up, the last three tries alone on a worker", () => {
  const { cluster, join, lose, losses } = losing();
  cluster.submit("bad", "x", "y");
  for (let k = 1; k <= 5; k++) {
    const session = join(`p${k}`);
    const leases = [...cluster.state.workers.get(session)!.leases];
    expect(leases.length).toBe(k > 3 ? 1 : 3);
    expect(only(lose(session), "fail")).toEqual([]);
    expect(losses("bad")).toBe(k);
  }
  expect(only(lose(join("p6")), "fail")).toEqual([
    {
      kind: "fail",
      key: "s/bad",
      reason: expect.stringMatching(
        /^6 workers in a row were lost while they ran it, the last ones with nothing else \(w1: the stream was cut; w2: .*w6: /,
      ),
    },
  ]);
  // What stood behind it goes on.
  join("p7");
  expect(only(cluster.valid("x", "w7"), "resolve")).toHaveLength(1);
});

test("workers that are lost with other operations in between end the row: machines die of other things", () => {
  const { cluster, join, lose, losses } = losing();
  cluster.submit("long");
  for (let k = 1; k <= 5; k++) lose(join(`p${k}`));
  expect(losses("long")).toBe(5);
  const running = join("p6");
  const idle = join("p7");
  lose(idle);
  expect(losses("long")).toBe(0);
  expect(only(lose(running), "fail")).toEqual([]);
  expect(losses("long")).toBe(1);
});

test("two operations that kill their workers by turns are both given up", () => {
  const { cluster, join, lose } = losing();
  cluster.submit("one");
  cluster.submitFor("other model", "t", "two");
  const failed: string[] = [];
  for (let k = 1; k <= 20 && failed.length < 2; k++)
    failed.push(...only(lose(join(`p${k}`)), "fail").map(({ key }) => key));
  expect(failed.sort()).toEqual(["s/one", "t/two"]);
});

test("a stream that breaks is no lost worker where the same process dials again, and one where another process does", () => {
  const { cluster, join, lose, losses } = losing();
  cluster.submit("long");
  for (let k = 1; k <= 10; k++) {
    lose(join("same process", "w"));
    cluster.pass(100_000);
    expect(losses("long")).toBe(1);
  }
  lose(join("another process", "w"));
  expect(losses("long")).toBe(2);
});

test("a worker that dials again before its old stream is known to be broken does not give up what it ran", () => {
  const { cluster, join, lose, losses } = losing();
  cluster.submit("long");
  for (let k = 1; k <= 5; k++) lose(join(`p${k}`));
  join("same process", "w");
  const again = {
    kind: "joined",
    session: 7,
    workerId: "w",
    deviceClass: "cpu",
    cachedCheckpoints: [],
  } as const;
  expect(only(cluster.on({ ...again, incarnation: "same process" }), "fail")).toEqual([]);
  expect(losses("long")).toBe(5);
  cluster.on({ kind: "credit", session: 7, leases: 4 });
  const another = cluster.on({ ...again, session: 8, incarnation: "another process" });
  expect(only(another, "fail")).toMatchObject([{ key: "s/long" }]);
});

test("a worker that says goodbye, and one whose result comes after all, say nothing against what they ran", () => {
  const { cluster, join, lose, losses } = losing();
  cluster.submit("a", "b");
  lose(join("p1"), true);
  expect(losses("a")).toBe(0);
  lose(join("p2"));
  expect(losses("a")).toBe(1);
  const session = join("p3");
  cluster.valid("a", "w2");
  cluster.on({ kind: "heartbeat", session, leaseIds: [...cluster.state.leases.keys()], runningLeaseId: 0 });
  lose(session);
  // The loss that nothing explains any more ends a row.
  expect(losses("b")).toBe(1);
  expect(leasesIn(cluster.join(4))).toEqual(["b → 4"]);
});

test("what a worker ran is what its last heartbeat says", () => {
  const { cluster, join, lose, losses } = losing();
  cluster.submit("a", "b");
  const session = join("p1");
  const [, second] = [...cluster.state.workers.get(session)!.leases];
  cluster.on({ kind: "heartbeat", session, leaseIds: [1, 2], runningLeaseId: second! });
  lose(session);
  expect([losses("a"), losses("b")]).toEqual([0, 1]);
});
