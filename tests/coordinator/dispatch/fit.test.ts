import { describe, expect, test } from "vitest";
import { memoryNeed } from "../../../coordinator/dispatch/memory-need.ts";
import type { ScopeTerms } from "../../../coordinator/dispatch/state.ts";
import { waitingReason } from "../../../coordinator/dispatch/waiting-reason.ts";
import { leasesIn, scene } from "./scene.ts";

const BOTH = ["primitive", "fused"];

/** A scene in which operations of scope "s" may say what they need. */
function cluster() {
  const made = scene();
  const { state, on } = made;
  return {
    ...made,
    ask(
      fingerprint: string,
      need: { readonly form?: "primitive" | "fused"; readonly memoryBytes?: number } = {},
      terms: ScopeTerms = {},
    ) {
      const operation = { fingerprint, checkpoint: "0123456789abcdef", ...need };
      return on({ kind: "submitted", scope: "s", terms, operations: [operation] });
    },
    classOf: () => state.scopes.get("s")?.deviceClass,
  };
}

describe("which class a search is bound to", () => {
  test("to one that has the forms that it will ask for, whoever comes first", () => {
    const { join, ask, valid, classOf } = cluster();
    join(1, { deviceClass: "webgpu", credit: 5 });
    expect(leasesIn(ask("gradient", {}, { forms: ["fused"] }))).toEqual([]);
    expect(leasesIn(join(2, { deviceClass: "cpu", forms: BOTH, credit: 5 }))).toEqual(["gradient → 2"]);
    valid("gradient", "w2", "cpu");
    expect(leasesIn(ask("tile", { form: "fused" }))).toEqual(["tile → 2"]);
    expect(classOf()).toBe("cpu");
  });

  test("to one that can do all that waits, not only what is first", () => {
    const { join, ask } = cluster();
    ask("gradient");
    ask("tile", { form: "fused" });
    expect(leasesIn(join(1, { deviceClass: "webgpu", credit: 5 }))).toEqual([]);
    expect(leasesIn(join(2, { deviceClass: "cpu", forms: BOTH, credit: 5 }))).toEqual([
      "gradient → 2",
      "tile → 2",
    ]);
  });

  test("workers of one class may have different forms; each gets what it has", () => {
    const { join, ask } = cluster();
    join(1, { credit: 0, forms: BOTH });
    join(2, { credit: 5 });
    expect(leasesIn([...ask("gradient"), ...ask("tile", { form: "fused" })])).toEqual(["gradient → 2"]);
  });

  test("anew, where its class is gone before a result was used", () => {
    const { state, join, ask, on, classOf } = cluster();
    join(1, { deviceClass: "cpu", credit: 5 });
    ask("a");
    ask("b");
    expect(classOf()).toBe("cpu");
    join(2, { deviceClass: "cuda", credit: 5 });
    expect(leasesIn(on({ kind: "left", session: 1, reason: "killed" }))).toEqual(["a → 2", "b → 2"]);
    expect(classOf()).toBe("cuda");
    expect(state.scopes.get("s")).toMatchObject({ leases: 2, isSettled: false });
  });

  test("for good, where a result was used, or its terms name it", () => {
    const used = cluster();
    used.join(1, { deviceClass: "cpu", credit: 5 });
    used.ask("a");
    used.valid("a", "w1", "cpu");
    used.ask("b");
    const named = cluster();
    named.join(1, { deviceClass: "cpu", credit: 5 });
    named.ask("b", {}, { deviceClass: "cpu" });
    for (const { join, on, classOf, state } of [used, named]) {
      join(2, { deviceClass: "cuda", credit: 5 });
      expect(leasesIn(on({ kind: "left", session: 1, reason: "killed" }))).toEqual([]);
      expect(classOf()).toBe("cpu");
      expect(waitingReason(state, 1_000)).toBe(
        "it was begun on device class cpu, and only cuda is connected",
      );
      expect(leasesIn(join(3, { deviceClass: "cpu" }))).toEqual(["b → 3"]);
    }
  });

  test("a result of a class that nobody works for any more is not taken beside another class's lease", () => {
    const { join, ask, on, valid, classOf } = cluster();
    join(1, { deviceClass: "cpu", credit: 5 });
    ask("a");
    join(2, { deviceClass: "cuda", credit: 5 });
    on({ kind: "left", session: 1, reason: "killed" });
    expect(valid("a", "w1", "cpu").filter(({ kind }) => kind === "resolve")).toEqual([]);
    expect(valid("a", "w2", "cuda").filter(({ kind }) => kind === "resolve")).toHaveLength(1);
    expect(classOf()).toBe("cuda");
  });

  test("no class has all that it needs: the reason names it", () => {
    const { state, join, ask } = cluster();
    ask("gradient", { memoryBytes: 4e9 });
    ask("tile", { form: "fused", memoryBytes: 1e9 });
    join(1, { deviceClass: "webgpu", memoryBytes: 8e9 });
    join(2, { deviceClass: "cpu", forms: BOTH, memoryBytes: 2e9 });
    expect(state.leases.size).toBe(0);
    expect(waitingReason(state, 1_000)).toBe(
      "all of it must be computed by one device class, and no connected one has all of: the primitive form in 4.0 GB, the fused form in 1.0 GB",
    );
  });
});

describe("memory", () => {
  test("an operation that fits nowhere waits, with the reason, for a worker that can hold it; others go on", () => {
    const { state, join, ask, valid, submitFor } = cluster();
    join(1, { memoryBytes: 4e9, credit: 5 });
    ask("score", { memoryBytes: 1e9 });
    valid("score", "w1");
    expect(leasesIn(ask("train", { memoryBytes: 9e9 }))).toEqual([]);
    expect(waitingReason(state, 1_000)).toBe(
      "it needs about 9.0 GB of memory for a score of checkpoint 0123456789ab, and the largest connected worker of its device class, cpu, with its form, w1, has 4.0 GB",
    );
    expect(leasesIn(submitFor("small", "other", "x"))).toEqual(["x → 1"]);
    expect(leasesIn(ask("score again", { memoryBytes: 1e9 }))).toEqual(["score again → 1"]);
    expect(leasesIn(join(2, { memoryBytes: 8e9, credit: 5 }))).toEqual([]);
    expect(waitingReason(state, 1_000)).toContain("w2, has 8.0 GB");
    expect(leasesIn(join(3, { memoryBytes: 16e9, credit: 5 }))).toEqual(["train → 3"]);
    expect(waitingReason(state, 1_000)).toBeUndefined();
  });

  test("a lease does not move to an idle worker that is too small", () => {
    const { join, ask, wait, on } = cluster();
    join(1, { memoryBytes: 8e9, credit: 5, cached: ["0123456789abcdef"] });
    ask("a", { memoryBytes: 6e9 });
    ask("b", { memoryBytes: 6e9 });
    wait(50);
    expect(leasesIn(join(2, { memoryBytes: 4e9, credit: 5, cached: ["0123456789abcdef"] }))).toEqual([]);
    expect(leasesIn(join(3, { memoryBytes: 0, credit: 5, cached: ["0123456789abcdef"] }))).toEqual(["b → 3"]);
    expect(leasesIn(on({ kind: "looked-again" }))).toEqual([]);
  });

  test("the need grows with the checkpoint and with what is kept beside it; of an unknown one nothing is asked", () => {
    const base = 499e6;
    // Measured with the shape of codebert-base: 0.64 GB scoring, 0.8 GB in gradients, 4.6 GB as the owner of a training run.
    expect(memoryNeed("score", base) / 0.64e9).toBeCloseTo(1, 1);
    expect(memoryNeed("gradient", base) / 0.8e9).toBeCloseTo(1, 1);
    expect(memoryNeed("train-run", base) / 4.6e9).toBeCloseTo(1, 1);
    expect(memoryNeed("train-run", undefined)).toBe(0);
  });
});

test("64 jobs that none of 512 workers can do cost an event next to nothing", () => {
  const cluster = scene();
  for (let session = 1; session <= 512; session++) cluster.join(session);
  for (let job = 0; job < 64; job++)
    cluster.submitOf({ forms: ["fused"] }, `model ${job}`, `job ${job}`, `operation ${job}`);
  const began = process.cpuUsage();
  for (let session = 1; session <= 100; session++)
    expect(cluster.on({ kind: "heartbeat", session, leaseIds: [], runningLeaseId: 0 })).toEqual([]);
  // Generous: it was half a minute when each worker asked of each job whether any worker fits.
  expect(process.cpuUsage(began).user).toBeLessThan(5e6);
});
