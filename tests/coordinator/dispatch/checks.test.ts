import { expect, test } from "vitest";
import { isDrawn } from "../../../coordinator/dispatch/checks.ts";
import { uncheckedSince } from "../../../coordinator/dispatch/origins.ts";
import { DispatchSettings } from "../../../coordinator/dispatch/settings.ts";
import { newDispatchState } from "../../../coordinator/dispatch/state.ts";
import { waitingReason, waitingScopes } from "../../../coordinator/dispatch/waiting-reason.ts";
import { digestOf } from "../../../proto/canonical-json.ts";
import { leasesIn, only, scene } from "./scene.ts";

/** Workers of credit 9 with the checkpoint; every result is checked. */
function checking(workers: number, settings: Partial<DispatchSettings> = {}) {
  const cluster = scene({ recheckRate: 1, ...settings });
  for (let session = 1; session <= workers; session++)
    cluster.join(session, { credit: 9, cached: ["model"] });
  return cluster;
}

const unchecked = ({ state }: ReturnType<typeof scene>) =>
  uncheckedSince(state.scopes.get("s")!.origins, 0).map(({ workerId }) => workerId);

test("the draw follows from seed and fingerprint, and takes the share that it is to take", () => {
  const drawn = (recheckSeed: number) => {
    const state = newDispatchState(DispatchSettings.parse({ recheckRate: 0.1, recheckSeed }));
    return Array.from({ length: 5_000 }, (_, k) => k).filter((k) => isDrawn(state, digestOf(String(k))));
  };
  expect(drawn(1)).toEqual(drawn(1));
  expect(drawn(1)).not.toEqual(drawn(2));
  for (const seed of [1, 2, 3]) expect(Math.abs(drawn(seed).length / 5_000 - 0.1)).toBeLessThan(0.02);
});

test("a used result is computed again by another worker, and who waited has it before that", () => {
  const cluster = checking(2);
  expect(leasesIn(cluster.submit("a"))).toEqual(["a → 1"]);
  const decisions = cluster.valid("a", "w1");
  expect(only(decisions, "resolve")).toEqual([{ kind: "resolve", key: "s/a", check: "check/s/a" }]);
  expect(leasesIn(decisions)).toEqual(["a → 2"]);
  expect(unchecked(cluster)).toEqual(["w1"]);
  expect(only(cluster.answers("a", "w2", 0), "check-ended", "expel", "accept")).toMatchObject([
    { outcome: "equal" },
    { kind: "accept", session: 2 },
  ]);
  expect(unchecked(cluster)).toEqual([]);
  const { operations, checks, leases, keysOf } = cluster.state;
  expect(operations.size + checks.size + leases.size + keysOf.size).toBe(0);
});

test("where no other worker of the class is there, nothing is checked", () => {
  const cluster = checking(1);
  cluster.join(2, { deviceClass: "cuda", credit: 9, cached: ["model"] });
  cluster.submit("a");
  expect(only(cluster.valid("a", "w1"), "resolve")).toEqual([{ kind: "resolve", key: "s/a" }]);
  expect(unchecked(cluster)).toEqual(["w1"]);
});

test("a segment of a training run is checked where a class gives the same bits, by whoever is free", () => {
  for (const deviceClass of ["cpu/1", "cuda/1"]) {
    const cluster = scene({ recheckRate: 1 });
    for (const session of [1, 2]) cluster.join(session, { deviceClass, credit: 9, cached: ["model"] });
    cluster.submitFrom("weights", "a");
    const decisions = cluster.valid("a", "w1", deviceClass);
    const isExact = deviceClass === "cpu/1";
    expect(only(decisions, "resolve").map(({ check }) => check)).toEqual([isExact ? "check/s/a" : undefined]);
    expect(leasesIn(decisions)).toEqual(isExact ? ["a → 2"] : []);
  }
});

test("a check is given up when the last worker that could do it leaves", () => {
  const cluster = checking(2);
  cluster.submit("a");
  cluster.valid("a", "w1");
  const decisions = cluster.on({ kind: "left", session: 2, reason: "killed" });
  expect(only(decisions, "check-ended")).toMatchObject([{ outcome: "impossible" }]);
  expect(unchecked(cluster)).toEqual(["w1"]);
});

test("fresh work goes before a check, until the check has waited for long or somebody waits for it", () => {
  for (const isAwaited of [false, true]) {
    const cluster = checking(2, {
      leaseMs: 60_000,
      longestLeaseMs: 100_000,
      recheckAfterMs: 500,
      aheadMs: 1,
    });
    cluster.submit("a", "b", "c", "d", "e");
    cluster.pass(100);
    const seconds = 0.1;
    const result = { kind: "result", workerId: "w1", deviceClass: "cpu", seconds } as const;
    const decisions = cluster.on({ ...result, fingerprint: "a", verdict: { kind: "valid" } });
    const busy = cluster.state.workers.get(2)!.leases.size;
    expect(leasesIn(decisions)).not.toContain("a → 2");
    if (isAwaited) expect(leasesIn(cluster.on({ kind: "awaited", scope: "s" }))).toEqual(["a → 2"]);
    else {
      expect(leasesIn(cluster.wait(500))).toEqual([]);
      expect(leasesIn(cluster.wait(1))).toEqual(["a → 2"]);
    }
    expect(cluster.state.workers.get(2)!.leases.size).toBe(busy + 1);
  }
});

test("what is asked for again while it is being checked is an answer to be checked, too, and nobody may contradict himself", () => {
  for (const isSame of [true, false]) {
    const cluster = checking(2, { recheckAfterMs: 60_000 });
    cluster.submit("a");
    cluster.valid("a", "w1");
    expect(leasesIn(cluster.submit("a"))).toEqual(["a → 1"]);
    const decisions = cluster.answers("a", "w1", isSame ? 0 : 1);
    expect(only(decisions, "resolve")).toHaveLength(isSame ? 1 : 0);
    expect(unchecked(cluster)).toEqual(["w1"]);
    expect(only(decisions, "expel").map(({ reason }) => reason)).toEqual(
      isSame ? [] : ["it gave two different results of operation score a"],
    );
    if (!isSame) continue;
    cluster.answers("a", "w2", 0);
    expect(unchecked(cluster)).toEqual([]);
  }
});

test.each([
  { right: 0, liar: "w2" },
  { right: 1, liar: "w1" },
])(
  "where the answers $right of a scope's two turn out right, it is not given any more of $liar's",
  ({ right, liar }) => {
    const cluster = checking(2, { recheckAfterMs: 60_000 });
    cluster.submit("a");
    cluster.valid("a", "w1");
    // The scope asks again while that is being checked, and is answered by another worker.
    cluster.submit("a");
    expect(only(cluster.answers("a", "w2", 1), "resolve")).toHaveLength(1);
    expect(unchecked(cluster)).toEqual(["w1", "w2"]);
    cluster.join(3, { credit: 9 });
    const decisions = cluster.answers("a", "w3", right);
    expect(only(decisions, "expel", "distrust")).toMatchObject([{ workerId: liar }, { scope: "s" }]);
  },
);

/** Three workers of which the second gave another answer than the first, to an operation of the first. */
function disagreement() {
  const cluster = checking(2);
  cluster.submit("a");
  cluster.valid("a", "w1");
  const decisions = cluster.answers("a", "w2", 1);
  return { ...cluster, decisions };
}

test("two that differ wait for a third one, and the job's reason says so", () => {
  const { decisions, state, join } = disagreement();
  expect(only(decisions, "disagreed")).toMatchObject([{ workers: ["w1", "w2"] }]);
  expect(only(decisions, "expel", "check-ended")).toEqual([]);
  expect(waitingReason(state, 0)).toBe(
    "workers w1 and w2 gave different results for one operation, and no other worker of their device class, cpu, is there to decide",
  );
  expect(waitingScopes(state, 0)).toMatchObject({ undecided: 1, turn: 0 });
  expect(leasesIn(join(3, { credit: 1 }))).toEqual(["a → 3"]);
  expect(waitingReason(state, 0)).toBeUndefined();
});

test("the third one decides: who lied about a result that was used is expelled, and its scopes get nothing more", () => {
  const cluster = disagreement();
  const { join, answers, submit, state, on } = cluster;
  join(3, { credit: 9 });
  submit("b");
  submit("c");
  const decisions = answers("a", "w3", 1);
  expect(only(decisions, "expel")).toMatchObject([
    {
      workerId: "w1",
      session: 1,
      reason: expect.stringMatching(
        /^its result of operation score a is another one than that of w2 and w3$/,
      ),
    },
  ]);
  expect(only(decisions, "distrust")).toMatchObject([{ scope: "s" }]);
  expect(only(decisions, "check-ended")).toMatchObject([{ outcome: "different" }]);
  expect(state.expelled.has("w1")).toBe(true);
  expect([...state.workers.keys()]).toEqual([2, 3]);
  expect(state.operations.size + state.leases.size + state.lanes.size + state.checks.size).toBe(0);
  on({ kind: "scope-closed", scope: "s" });
  expect(
    only(
      on({ kind: "submitted", scope: "t", operations: [{ fingerprint: "a", checkpoint: "model" }] }),
      "lease",
    ),
  ).toHaveLength(1);
  // What it still sends is nobody's.
  expect(only(cluster.valid("a", "w1"), "resolve", "accept")).toEqual([]);
});

test("who lied in a check is expelled, and what was used is right", () => {
  const cluster = disagreement();
  cluster.join(3, { credit: 9 });
  const decisions = cluster.answers("a", "w3", 0);
  expect(only(decisions, "expel")).toMatchObject([{ workerId: "w2", session: 2 }]);
  expect(only(decisions, "distrust")).toEqual([]);
  expect(only(decisions, "check-ended")).toMatchObject([{ outcome: "equal" }]);
  expect(unchecked(cluster)).toEqual([]);
});

test("leases of an expelled worker go to others, and scopes that nothing unchecked of it was given to go on", () => {
  const cluster = checking(3);
  cluster.submit("a");
  cluster.valid("a", "w1");
  cluster.submitFor("model", "other", "x", "y", "z");
  expect(
    [...cluster.state.leases.values()].some(({ key, session }) => session === 1 && key.startsWith("other")),
  ).toBe(true);
  const holder = cluster.state.leases.get(
    [...cluster.state.operations.get("check/s/a")!.leases][0]!,
  )!.session;
  cluster.answers("a", `w${holder}`, 1);
  const decisions = cluster.answers("a", `w${holder === 2 ? 3 : 2}`, 1);
  expect(only(decisions, "lease-ended").map(({ end }) => end)).toContain("expelled");
  expect(only(decisions, "distrust").map(({ scope }) => scope)).toEqual(["s"]);
  expect([...cluster.state.operations.values()].every(({ leases }) => leases.size === 1)).toBe(true);
});

test("checks that fail, or that a closed scope does not need any more, leave nothing behind", () => {
  const cluster = checking(2);
  cluster.submit("a", "b");
  cluster.valid("a", "w1");
  cluster.valid("b", "w2");
  let failed = 0;
  for (let attempt = 0; attempt < 3; attempt++)
    failed += only(cluster.invalid("a", "w2"), "check-ended").filter(
      ({ outcome }) => outcome === "failed",
    ).length;
  expect(failed).toBe(1);
  const decisions = cluster.on({ kind: "scope-closed", scope: "s" });
  expect(only(decisions, "check-ended")).toMatchObject([{ key: "check/s/b", outcome: "closed" }]);
  const { operations, checks, leases, keysOf, scopes } = cluster.state;
  expect(operations.size + checks.size + leases.size + keysOf.size + scopes.size).toBe(0);
});

test("unchecked results are told by worker since a given one, and those that are being checked apart", () => {
  const cluster = checking(3);
  cluster.submit("a", "b");
  cluster.valid("a", "w1");
  const { origins } = cluster.state.scopes.get("s")!;
  expect(origins.given).toBe(1);
  cluster.valid("b", "w2");
  expect(uncheckedSince(origins, 1)).toEqual([{ workerId: "w2", checking: ["b"] }]);
  const holder = cluster.state.leases.get(
    [...cluster.state.operations.get("check/s/b")!.leases][0]!,
  )!.session;
  cluster.answers("b", `w${holder}`, 0);
  expect(uncheckedSince(origins, 1)).toEqual([]);
  expect(uncheckedSince(origins, 0)).toEqual([{ workerId: "w1", checking: ["a"] }]);
});

test("250 checks that wait for 512 busy workers cost an event next to nothing", () => {
  const cluster = checking(512, { recheckAfterMs: 60_000 });
  const operations = Array.from({ length: 512 }, (_, k) => `operation ${k}`);
  cluster.submit(...operations);
  for (let k = 0; k < 8; k++) cluster.submit(...operations.map((each) => `${each} behind ${k}`));
  const began = process.cpuUsage();
  for (const { fingerprint, leases } of [...cluster.state.operations.values()].slice(0, 250)) {
    const lease = cluster.state.leases.get([...leases][0]!)!;
    cluster.valid(fingerprint, `w${lease.session}`);
  }
  expect(cluster.state.checks.size).toBe(250);
  for (let session = 1; session <= 400; session++)
    cluster.on({ kind: "heartbeat", session, leaseIds: [], runningLeaseId: 0 });
  // It was several times as long when each check asked all workers.
  expect(process.cpuUsage(began).user).toBeLessThan(3e6);
});
