import { describe, expect, onTestFinished, test } from "vitest";
import type { DispatchOptions } from "../../../coordinator/dispatch/settings.ts";
import type { Share } from "../../../coordinator/dispatch/state.ts";
import { shareViews } from "../../../coordinator/dispatch/views.ts";
import { digestOf } from "../../../proto/canonical-json.ts";
import type { Operation } from "../../../proto/operations.ts";
import { startSimulatedCluster } from "../../bench/simulated-cluster.ts";
import { leasesIn, scene } from "./scene.ts";

const shareOf = (group: string, weight = 1, priority = 0): Share => ({ group, weight, priority });

/** A cluster on a clock of its own, and jobs that ask for round after round. */
function contest({ workers = 4, ...dispatch }: DispatchOptions & { readonly workers?: number } = {}) {
  const cluster = startSimulatedCluster({
    ...{ workers, window: 4, latencyMs: 1, dispatch },
    // The number of its sample says how long an operation takes.
    durationMs: (operation) => (operation as { readonly sample: number }).sample,
  });
  onTestFinished(() => cluster.close());
  let made = 0;
  return {
    cluster,
    /** A job with a model of its own, whose operations take `ms`, so many at a time. */
    run(share: Share, { ms, tiles = 16, rounds = Number.POSITIVE_INFINITY }: Rounds): Promise<void> {
      const executor = cluster.newExecutor({ share });
      const checkpoint = digestOf(`model ${++made}`);
      const round = (k: number): Operation[] =>
        Array.from({ length: tiles }, (_, tile) => ({
          ...{ kind: "score", checkpoint, samples: digestOf(`round ${k}, tile ${tile}`), sample: ms },
          triggers: [[1, 2]],
        }));
      const work = async () => {
        for (let k = 0; k < rounds; k++) await executor.execute(round(k));
      };
      const done = work();
      done.catch(() => {}); // The cluster closes in the middle of it.
      return done;
    },
    /** Seconds of work that the group got. */
    workOf: (group: string): number =>
      shareViews(cluster.state).find((view) => view.group === group)?.workSeconds ?? 0,
  };
}

interface Rounds {
  readonly ms: number;
  readonly tiles?: number;
  readonly rounds?: number;
}

describe("between sweeps", () => {
  test.each([
    { weights: [1, 1], jobs: [20, 2] },
    { weights: [1, 3], jobs: [8, 8] },
    { weights: [2, 1], jobs: [3, 30] },
  ])(
    "sweeps of weights $weights with $jobs jobs are served within 20 % of their weights",
    async ({ weights, jobs }) => {
      const { cluster, run, workOf } = contest();
      for (const [k, count] of jobs.entries())
        for (let job = 0; job < count; job++) void run(shareOf(`sweep ${k}`, weights[k]!), { ms: 100 });
      await cluster.runUntil(60_000);
      const served = weights.map((_, k) => workOf(`sweep ${k}`));
      const all = served[0]! + served[1]!;
      // Nobody waits while there is work.
      expect(all).toBeGreaterThan(0.95 * 4 * 60);
      for (const [k, weight] of weights.entries()) {
        const due = weight / (weights[0]! + weights[1]!);
        expect(served[k]! / all / due, `sweep ${k}`).toBeGreaterThan(0.8);
        expect(served[k]! / all / due, `sweep ${k}`).toBeLessThan(1.2);
      }
    },
  );

  test("work counts and not leases: operations ten times as long get no more of it", async () => {
    const { cluster, run, workOf } = contest();
    for (let job = 0; job < 4; job++) {
      void run(shareOf("long"), { ms: 1_000 });
      void run(shareOf("short"), { ms: 100 });
    }
    await cluster.runUntil(60_000);
    expect(workOf("long") / workOf("short")).toBeGreaterThan(0.8);
    expect(workOf("long") / workOf("short")).toBeLessThan(1.25);
  });

  test("a small sweep that comes with a large one ends after twice the time that it would take alone", async () => {
    const { cluster, run } = contest();
    for (let job = 0; job < 20; job++) void run(shareOf("large"), { ms: 100 });
    let isDone = false;
    // 40 s of work: 10 s of four workers.
    void run(shareOf("small"), { ms: 100, tiles: 40, rounds: 10 }).then(() => {
      isDone = true;
    });
    await cluster.runUntil(25_000);
    expect(isDone).toBe(true);
  });

  test("a sweep that comes late is served like the others from then on, and makes up for nothing", async () => {
    const { cluster, run, workOf } = contest();
    for (let job = 0; job < 4; job++) void run(shareOf("early"), { ms: 100 });
    await cluster.runUntil(60_000);
    const before = workOf("early");
    for (let job = 0; job < 4; job++) void run(shareOf("late"), { ms: 100 });
    await cluster.runUntil(100_000);
    const [early, late] = [workOf("early") - before, workOf("late")];
    expect(late / early).toBeGreaterThan(0.7);
    expect(late / early).toBeLessThan(1.4);
  });

  test("a sweep that cannot use its share leaves it to others, and does not get it later", async () => {
    const { cluster, run, workOf } = contest();
    const narrow = shareOf("narrow");
    void run(narrow, { ms: 100, tiles: 1, rounds: 500 });
    for (let job = 0; job < 4; job++) void run(shareOf("wide"), { ms: 100 });
    await cluster.runUntil(60_000);
    expect(workOf("narrow") + workOf("wide")).toBeGreaterThan(0.95 * 4 * 60);
    const before = { narrow: workOf("narrow"), wide: workOf("wide") };
    for (let job = 0; job < 4; job++) void run(narrow, { ms: 100 });
    await cluster.runUntil(100_000);
    expect(workOf("wide") - before.wide).toBeGreaterThan(0.7 * 80);
  });

  test("a higher priority goes before all of a lower one, and what it cannot use is theirs", async () => {
    const { cluster, run, workOf } = contest();
    for (let job = 0; job < 4; job++) void run(shareOf("low", 100), { ms: 100 });
    await cluster.runUntil(10_000);
    const before = workOf("low");
    const high = run(shareOf("high", 1, 1), { ms: 100, tiles: 40, rounds: 10 });
    await cluster.runUntil(20_000);
    // What was given out before it came, and ahead at the ends of its rounds.
    expect(workOf("low") - before).toBeLessThan(15);
    await cluster.runUntil(30_000);
    await high;
    expect(workOf("low") - before).toBeGreaterThan(25);
  });
});

test("jobs of a sweep are served alike, whatever they ask for at a time", async () => {
  const { cluster, run } = contest({ jobQuantumMs: 1_000 });
  const share = shareOf("sweep");
  let isDone = false;
  for (let job = 0; job < 4; job++) void run(share, { ms: 100, tiles: 400 });
  // 24 s of work; a fifth of four workers does it in 30 s.
  void run(share, { ms: 100, tiles: 24, rounds: 10 }).then(() => {
    isDone = true;
  });
  await cluster.runUntil(40_000);
  expect(isDone).toBe(true);
});

describe("changing over", () => {
  /** A worker with one lease at a time, and two sweeps with many operations of a second. */
  function alternating(quantumMs: number): string[] {
    const { on, join, wait, submitOf, valid } = scene({
      quantumMs,
      affinityMs: 1_000_000,
      leaseMs: 1_000_000,
    });
    const numbers = Array.from({ length: 40 }, (_, k) => k);
    submitOf({ share: shareOf("a") }, "model a", "s1", ...numbers.map((k) => `a${k}`));
    submitOf({ share: shareOf("b") }, "model b", "s2", ...numbers.map((k) => `b${k}`));
    let [lease] = leasesIn(join(1));
    const order: string[] = [];
    while (order.length < 40) {
      const fingerprint = lease!.split(" ")[0]!;
      order.push(fingerprint[0]!);
      wait(1_000);
      valid(fingerprint, "w1", "cpu", 1);
      [lease] = leasesIn(on({ kind: "credit", session: 1, leases: 1 }));
    }
    return order;
  }

  const changes = (order: readonly string[]): number =>
    order.filter((group, k) => k > 0 && group !== order[k - 1]).length;

  test("a worker stays with its checkpoint until its sweep is a quantum ahead", () => {
    expect(changes(alternating(0))).toBeGreaterThan(15);
    const order = alternating(5_000);
    expect(changes(order)).toBeGreaterThan(2);
    expect(changes(order)).toBeLessThan(9);
    const ofA = order.filter((group) => group === "a").length;
    expect(Math.abs(ofA - 20)).toBeLessThanOrEqual(3);
  });
});

test("a worker that says that nothing took any time, or years, changes shares by no more than the time that passed", () => {
  const { state, join, wait, submitOf, valid } = scene({ leaseMs: 1_000_000 });
  join(1, { credit: 10 });
  submitOf({ share: shareOf("a") }, "model", "s", "x", "y");
  wait(2_000);
  valid("x", "w1", "cpu", 1e9);
  valid("y", "w1", "cpu", -1e9);
  expect(shareViews(state)).toMatchObject([{ group: "a", workSeconds: 2 }]);
});

test("nothing is left of groups whose scopes are closed and who are not ahead of others", () => {
  const { state, on, join, wait, submitOf, valid } = scene({ leaseMs: 1_000_000 });
  join(1, { credit: 10 });
  submitOf({ share: shareOf("a") }, "model", "s1", "x");
  submitOf({ share: shareOf("b") }, "model", "s2", "y");
  wait(2_000);
  valid("x", "w1", "cpu", 2);
  on({ kind: "scope-closed", scope: "s1" });
  // It had more than the other: when it comes again it is not even with it.
  expect([...state.groups.keys()]).toEqual(["a", "b"]);
  on({ kind: "scope-closed", scope: "s2" });
  expect([state.groups.size, state.clocks.size]).toEqual([0, 0]);
});
