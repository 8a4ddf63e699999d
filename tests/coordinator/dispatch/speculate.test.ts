import fc from "fast-check";
import { expect, test } from "vitest";
import { leasesIn, only, scene } from "./scene.ts";
import { virtualWorkers } from "./virtual-workers.ts";

const tiles = (step: number, count = 24) => Array.from({ length: count }, (_, k) => `step ${step} tile ${k}`);

/** Milliseconds of each of ten steps of 24 tiles. */
const steps = (cluster: ReturnType<typeof virtualWorkers>) =>
  Array.from({ length: 10 }, (_, step) => cluster.step(...tiles(step)));

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

test("a worker ten times slower than seven others costs a step less than one more tile; it cost five without a second lease", () => {
  const equal = virtualWorkers(Array(8).fill(200));
  const slow = virtualWorkers([...Array(7).fill(200), 2_000]);
  const alone = virtualWorkers([...Array(7).fill(200), 2_000], { speculateFactor: 0 });
  expect(median(steps(equal))).toBe(600);
  expect(median(steps(alone))).toBeGreaterThanOrEqual(2_000);
  expect(median(steps(slow))).toBeLessThanOrEqual(800);
  expect(slow.seconds()).toBeGreaterThan(0);
});

test("a worker that stops is waited for a few tiles, not until its lease expires", () => {
  const cluster = virtualWorkers(Array(4).fill(200), { leaseMs: 60_000 });
  cluster.step(...tiles(0));
  cluster.workers[3]!.ms = Number.POSITIVE_INFINITY;
  const [first, ...later] = [1, 2, 3].map((step) => cluster.step(...tiles(step)));
  expect(first).toBeLessThanOrEqual(3_000);
  // It has no credit left, and gets nothing more.
  expect(Math.max(...later)).toBeLessThanOrEqual(3_000);
});

test("among equal workers nothing is computed twice", () => {
  const cluster = virtualWorkers([200, 210, 190, 205]);
  steps(cluster);
  expect(cluster.seconds()).toBe(0);
});

test("with workers of any speeds, some of which stop, every step ends, and no operation is on one worker twice or on three", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 20, max: 2_000 }), { minLength: 2, maxLength: 6 }), (msOf) => {
      const cluster = virtualWorkers(msOf, { leaseMs: 5_000 });
      cluster.step(...tiles(0));
      cluster.workers[1]!.ms = Number.POSITIVE_INFINITY;
      for (let step = 1; step < 4; step++) cluster.step(...tiles(step));
    }),
    { numRuns: 15, seed: 6 },
  );
});

test("no operation has more than two leases, however many are idle, and both end with the first result", () => {
  const { state, join, submit, valid, on, wait } = slowOne();
  join(3, { cached: ["model"] });
  join(4, { cached: ["model"] });
  expect(leasesIn(submit("c"))).toHaveLength(1);
  wait(900);
  const holders = [...state.leases.values()].filter(({ key }) => key === "s/c");
  expect(holders).toHaveLength(2);
  expect(new Set(holders.map(({ session }) => session)).size).toBe(2);
  wait(900);
  on({ kind: "looked-again" });
  expect(state.operations.get("s/c")!.leases.size).toBe(2);
  const [loser] = holders;
  const winner = state.workers.get(holders[1]!.session)!.workerId;
  const decisions = valid("c", winner);
  expect(only(decisions, "resolve")).toHaveLength(1);
  expect(only(decisions, "cancel")).toMatchObject([{ leaseId: loser!.id, letRun: true }]);
  expect(state.leases.size).toBe(0);
});

/** Two workers that took 100 ms for a tile each; both are free, and have room for one. */
function slowOne() {
  const cluster = scene({ leaseMs: 60_000 });
  cluster.join(1, { cached: ["model"] });
  cluster.join(2, { cached: ["model"] });
  cluster.submit("a", "b");
  cluster.pass(100);
  cluster.valid("a", "w1");
  cluster.valid("b", "w2");
  for (const session of [1, 2]) cluster.on({ kind: "credit", session, leases: 1 });
  return cluster;
}

test("the decision says how slow it is, and it is looked for in time", () => {
  const { submit, on, pass } = slowOne();
  const early = submit("c");
  expect(leasesIn(early)).toEqual(["c → 1"]);
  expect(only(early, "look-again")).toEqual([{ kind: "look-again", afterMs: 401 }]);
  pass(400);
  expect(leasesIn(on({ kind: "looked-again" }))).toEqual([]);
  pass(1);
  expect(only(on({ kind: "looked-again" }), "lease")).toMatchObject([
    {
      session: 2,
      second: { workerId: "w1", runningMs: 401, usualMs: 100, elsewhereMs: 100, remainingMs: 301 },
    },
  ]);
});

test("an operation whose second lease is lost, refused or expired still has its first one", () => {
  for (const end of ["left", "invalid", "expired"] as const) {
    const { state, submit, on, wait, invalid } = slowOne();
    submit("c");
    wait(900);
    expect(state.operations.get("s/c")!.leases.size).toBe(2);
    if (end === "left") on({ kind: "left", session: 2, reason: "killed" });
    if (end === "invalid") invalid("c", "w2");
    if (end === "expired") {
      wait(59_000);
      on({ kind: "heartbeat", session: 1, leaseIds: [3], runningLeaseId: 3 });
      wait(59_500);
    }
    expect([...state.leases.values()].map(({ key, session }) => `${key} ${session}`)).toEqual(["s/c 1"]);
    expect(state.lanes.size).toBe(0);
  }
});

test("nothing that goes on from a state, was a child's death before, or has gone wrong there is computed a second time", () => {
  const { submitFrom, wait, join, submit, on, state } = slowOne();
  expect(leasesIn(submitFrom("state", "c"))).toEqual(["c → 1"]);
  expect(leasesIn(wait(5_000))).toEqual([]);
  join(3, { credit: 1, cached: [] });
  // It lacks the checkpoint.
  on({ kind: "left", session: 2, reason: "goodbye" });
  expect(leasesIn(submit("d"))).toEqual(["d → 3"]);
  expect(state.leases.size).toBe(2);
});

test("what a child died of is not given to two at once", () => {
  const { submit, wait, on, state, join } = slowOne();
  submit("c");
  join(3, { cached: ["model"] });
  expect(leasesIn(on({ kind: "child-died", session: 1, leaseId: 3, reason: "SIGSEGV" }))).toEqual(["c → 2"]);
  wait(5_000);
  expect(state.operations.get("s/c")!.leases.size).toBe(1);
});

test("operations of kinds that nobody has measured yet cost an event next to nothing, however many others were", () => {
  const { state, join, submitFor, on } = scene();
  for (let k = 0; k < 1_024; k++) state.durations.set(`model ${k}/encode/primitive`, new Map([["w1", 100]]));
  for (let session = 1; session <= 512; session++) join(session);
  for (let job = 0; job < 256; job++) submitFor(`model ${job}`, `job ${job}`, "operation");
  expect(state.leases.size).toBe(256);
  const began = process.cpuUsage();
  for (let session = 1; session <= 200; session++)
    on({ kind: "heartbeat", session, leaseIds: [session], runningLeaseId: session });
  expect(process.cpuUsage(began).user).toBeLessThan(3e6);
});
