import { expect, test } from "vitest";
import { workerViews } from "../../../coordinator/dispatch/views.ts";
import { waitingReason, waitingScopes } from "../../../coordinator/dispatch/waiting-reason.ts";
import { leasesIn, only, scene } from "./scene.ts";

/** A worker "w" that takes what is there and is lost, so many times; its last session's number. */
function lose(cluster: ReturnType<typeof scene>, times: number, firstSession = 1) {
  const decisions = [];
  for (let session = firstSession; session < firstSession + times; session++) {
    cluster.join(session, { workerId: "w", credit: 4 });
    decisions.push(...cluster.on({ kind: "left", session, reason: "the stream was cut" }));
  }
  return decisions;
}

test("a stream that breaks once costs nothing, and each further time without a finished operation twice the delay", () => {
  const cluster = scene({ backoffMs: 1_000, maxBackoffMs: 5_000 });
  cluster.submit("a");
  expect(only(lose(cluster, 1), "back-off")).toEqual([]);
  expect(only(lose(cluster, 5, 2), "back-off").map(({ failures, delayMs }) => [failures, delayMs])).toEqual([
    [2, 1_000],
    [3, 2_000],
    [4, 4_000],
    [5, 5_000],
    [6, 5_000],
  ]);
});

test("a worker in its delay gets nothing, with the reason shown; then one lease at a time until one is done", () => {
  const cluster = scene({ backoffMs: 1_000, leaseMs: 60_000 });
  cluster.submit("a", "b", "c", "d");
  lose(cluster, 2);
  expect(leasesIn(cluster.join(3, { workerId: "w", credit: 4 }))).toEqual([]);
  expect(workerViews(cluster.state, 1_400)).toMatchObject([
    { workerId: "w", backoff: { failures: 2, reason: "the stream was cut", inMs: 600 } },
  ]);
  expect(waitingReason(cluster.state, 1_400)).toBe(
    "the one worker that could do it failed again and again: w 2 times without finishing anything (the stream was cut), and gets a lease again in 1 s",
  );
  expect(waitingScopes(cluster.state, 1_400)).toMatchObject({ backoff: 1, turn: 0 });
  expect(leasesIn(cluster.wait(999))).toEqual([]);
  expect(leasesIn(cluster.wait(1))).toEqual(["a → 3"]);
  expect(waitingReason(cluster.state, 2_000)).toBeUndefined();
  expect(waitingScopes(cluster.state, 2_000)).toMatchObject({ backoff: 0, turn: 1 });
  expect(workerViews(cluster.state, 2_000)).toMatchObject([{ backoff: { failures: 2, inMs: 0 } }]);
  expect(leasesIn(cluster.wait(100))).toEqual([]);
  expect(leasesIn(cluster.valid("a", "w"))).toEqual(["b → 3", "c → 3", "d → 3"]);
  expect(workerViews(cluster.state, 3_000)[0]!.backoff).toBeUndefined();
});

test("meanwhile others get what it would have got", () => {
  const cluster = scene();
  cluster.submit("a");
  lose(cluster, 3);
  cluster.join(4, { workerId: "w", credit: 4 });
  expect(leasesIn(cluster.join(5))).toEqual(["a → 5"]);
});

test("a child that dies again and again counts like a stream", () => {
  const cluster = scene({ backoffMs: 1_000, maxChildDeaths: 10 });
  cluster.join(1, { credit: 4 });
  cluster.submit("a", "b");
  const [first, second] = [...cluster.state.leases.keys()];
  const die = (leaseId: number) => cluster.on({ kind: "child-died", session: 1, leaseId, reason: "SIGSEGV" });
  expect(only(die(first!), "back-off")).toEqual([]);
  expect(only(die(second!), "back-off")).toMatchObject([
    { workerId: "w1", failures: 2, delayMs: 1_000, reason: "SIGSEGV" },
  ]);
  expect(cluster.state.operations.get("s/b")!.leases.size).toBe(0);
});

test("a Goodbye is no failure, and an operation that was finished makes up for all before", () => {
  const cluster = scene();
  cluster.submit("a", "b");
  for (let session = 1; session < 6; session++) {
    cluster.join(session, { workerId: "w", credit: 4 });
    cluster.on({ kind: "left", session, reason: "goodbye", isOrderly: true });
  }
  expect(cluster.state.flapping.size).toBe(0);
  lose(cluster, 1, 6);
  cluster.join(7, { workerId: "w", credit: 1 });
  cluster.valid("a", "w");
  cluster.on({ kind: "left", session: 7, reason: "cut" });
  expect(leasesIn(cluster.join(8, { workerId: "w" }))).toEqual(["b → 8"]);
});

test("results that nobody asked for make up for nothing", () => {
  const cluster = scene();
  cluster.submit("a");
  lose(cluster, 2);
  cluster.join(3, { workerId: "w", credit: 1 });
  cluster.valid("nobody's", "w");
  expect(cluster.state.flapping.get("w")).toMatchObject({ failures: 2 });
});
