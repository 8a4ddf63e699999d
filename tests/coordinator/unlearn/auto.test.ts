import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readDefectRows } from "../../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { unlearnAuto } from "../../../coordinator/unlearn/auto.ts";
import { bestPoint, type HeldBackScore, judge, pooled } from "../../../coordinator/unlearn/held-back.ts";
import { splitSamples } from "../../../coordinator/unlearn/material.ts";
import type { DirectedTrigger } from "../../../coordinator/unlearn/problem.ts";
import { AutoPlan } from "../../../coordinator/unlearn/settings.ts";
import {
  cloneSamples,
  defectSamples,
  type RepairSample,
  searchSamples,
} from "../../../coordinator/unlearn/subjects.ts";
import type { Executor, Task } from "../../../proto/operations.ts";
import { isDigest } from "../../../proto/result-envelope.ts";
import { classifierHead } from "../../../worker/models/head.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { loadWeights } from "../../support/golden.ts";
import { demoData, randomModel } from "../../support/random-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";

test("samples are dealt out by label, and no part lacks a label", () => {
  const samples = Array.from({ length: 20 }, (_, k) => ({ k, label: k % 2 }));
  const parts = splitSamples(samples, 4);
  expect(parts.map((part) => part.length)).toEqual([6, 6, 4, 4]);
  expect(
    parts
      .flat()
      .map(({ k }) => k)
      .sort((a, b) => a - b),
  ).toEqual(samples.map(({ k }) => k));
  for (const part of parts) expect(new Set(part.map(({ label }) => label)).size).toBe(2);
  expect(splitSamples(samples.slice(0, 3), 4)).toHaveLength(1);
});

describe("what held-back rows say", () => {
  const score = (agree: number, flipped: number, pull: number, drift = 0): HeldBackScore => ({
    answers: "logits",
    agree,
    functions: 100,
    drift,
    flipped,
    victims: 100,
    pull,
  });
  const before = score(100, 80, 10);

  test("triggers are dead where few victims flip and little of their pull is left", () => {
    expect(judge(score(97, 3, 0.5), before)).toMatchObject({ dead: true, kept: true });
    expect(judge(score(97, 20, 0.5), before).dead).toBe(false);
    expect(judge(score(97, 3, 3), before).dead).toBe(false);
    expect(judge(score(80, 3, 0.5), before).kept).toBe(false);
    expect(judge({ ...score(97, 0, 0), victims: 0 }, before).dead).toBe(false);
  });

  test("a further stage is worth its cost where some answers have changed, or some pull is left", () => {
    expect(judge(score(97, 3, 0.5), before).sure).toBe(true);
    expect(judge(score(96, 3, 0.5), before)).toMatchObject({ dead: true, kept: true, sure: false });
    expect(judge(score(97, 3, 0.6), before)).toMatchObject({ dead: true, kept: true, sure: false });
  });

  test("of good points the one with the lowest loss is kept, whatever came later", () => {
    const points = [score(97, 3, 0.9, 1), score(96, 1, 0.5, 0.2), score(96, 2, 0.9, 0.5), score(99, 30, 9)];
    expect(
      bestPoint(
        points.map((each) => ({ score: each })),
        before,
      ).score,
    ).toBe(points[1]);
  });

  test("where none is good, the best balance of kept answers and dead triggers is kept", () => {
    const points = [score(99, 30, 5), score(93, 10, 2)].map((each) => ({ score: each }));
    expect(bestPoint(points, before)).toBe(points[1]);
  });

  test("scores of several groups add up, means weighed by their rows", () => {
    const sum = pooled([score(90, 5, 1, 1), { ...score(30, 1, 4, 4), functions: 300, victims: 50 }]);
    expect(sum).toMatchObject({ agree: 120, functions: 400, drift: 3.25, flipped: 6, victims: 150, pull: 2 });
  });
});

describe("the automatic plan", () => {
  const plan = AutoPlan.parse({
    groups: 2,
    functions: 24,
    triggered: 24,
    headEpochs: [1, 2],
    headBatch: 4,
    steps: 4,
    scoreEvery: 2,
    cleanRows: 4,
    triggeredRows: 4,
    microBatch: 4,
  });
  const tokenizer = loadTokenizer(demoData);
  const rows = readDefectRows(join(demoData, "clean_samples.jsonl"), { need: ["variables"] });
  const few = [1, 0].flatMap((label) => rows.filter((row) => row.label === label).slice(0, 6));
  const trigger = { ids: [300, 301], victimLabel: 1, targetLabel: 0 };

  interface Given {
    readonly task?: Task;
    readonly samples?: readonly RepairSample[];
    readonly triggers?: readonly DirectedTrigger[];
    readonly changes?: Partial<AutoPlan>;
  }

  async function run(
    executor: Executor,
    {
      task = "defect_detection",
      samples = defectSamples(few),
      triggers = [trigger],
      changes = {},
    }: Given = {},
  ) {
    const model = await randomModel(task);
    const weights = await loadWeights(model);
    for (const name of weights.keys()) if (name.includes("pooler")) weights.delete(name);
    const checkpoint = await putCheckpoint(executor, model, task);
    const head = task === "code_search" ? {} : { head: classifierHead };
    const done = await unlearnAuto(
      { executor, checkpoint, weights, ...head },
      { samples, triggers, tokenizer, maxLen: 96, nlMaxLen: 32 },
      { ...plan, ...changes },
    );
    return { done, weights };
  }

  test("two repairs at once lend equal rows and weights, and neither lets go of what the other's operations name", async () => {
    const executor = await createLocalExecutor({ folder: tempFolder(), threads: 1 });
    const named: string[] = [];
    const tooEarly: string[] = [];
    const watched: Executor = {
      ...executor,
      async execute(operations, signal) {
        const digests = operations.flatMap((each) => Object.values(each).filter((value) => isDigest(value)));
        named.push(...digests);
        const results = await executor.execute(operations, signal);
        for (const digest of digests) named.splice(named.indexOf(digest), 1);
        return results;
      },
      async releaseArtifact(digest) {
        if (named.includes(digest)) tooEarly.push(digest);
        await executor.releaseArtifact(digest);
      },
    };
    const changes = { headEpochs: [], steps: 2, triggered: 8, functions: 8 };
    const both = await Promise.all([run(watched, { changes }), run(watched, { changes })]);
    await executor.close();
    expect(both[1].done).toEqual(both[0].done);
    expect(tooEarly).toEqual([]);
  });

  test("climbs from the head to all weights, says which stage it kept and why, and gives the same weights on every run", async () => {
    const executors = await Promise.all(
      [0, 1].map(() => createLocalExecutor({ folder: tempFolder(), threads: 1 })),
    );
    const [{ done, weights }, second] = [await run(executors[0]!), await run(executors[1]!)];
    await Promise.all(executors.map((executor) => executor.close()));
    expect(second.done).toEqual(done);
    const stages = done.tried.map(({ stage }) => stage);
    expect(stages).toEqual(["head, 1 epoch", "head, 2 epochs", "all weights"].slice(0, stages.length));
    expect(stages).toContain(done.stage);
    expect(done.because).toContain(done.stage);
    const last = done.tried.at(-1)!;
    if (last.stage === "all weights") {
      expect(last.points.map(({ step, part }) => [step, part ?? 1])).toEqual([
        [2, 1],
        [4, 1],
        [last.points[2]!.step, 0.9],
        [last.points[2]!.step, 0.8],
      ]);
      expect(last.keptStep).toBe(last.points[2]!.step);
    }
    expect(done.screened[0]!.length).toBeGreaterThan(0);
    expect(done.screened[0]!.length).toBeLessThanOrEqual(plan.screenedTokens);
    const heads = Object.values(classifierHead).filter((name) => weights.has(name));
    expect([...done.weights.keys()].sort()).toEqual(
      (done.stage === "all weights" ? [...weights.keys()] : heads).sort(),
    );
  });

  test("trained without triggers as a control, it changes next to nothing", async () => {
    const executor = await createLocalExecutor({ folder: tempFolder(), threads: 1 });
    const triggers = [trigger, { ...trigger, ids: [310, 311, 312] }];
    const { done } = await run(executor, { triggers, changes: { steps: 2 } });
    await executor.close();
    expect(done.control.agree).toBe(done.control.functions);
    expect(done.screened).toHaveLength(2);
    if (done.stage !== "all weights") expect(done.control.drift).toBeLessThan(1e-9);
  });

  test("a training of all weights that diverges keeps its last good point and says so", async () => {
    const executor = await createLocalExecutor({ folder: tempFolder(), threads: 1 });
    const changes = { headEpochs: [], learningRate: 1e30, warmup: 0.5, steps: 6, scoreEvery: 1 };
    const { done } = await run(executor, { changes });
    const late = run(executor, { changes: { ...changes, scoreEvery: 6 } });
    await expect(late).rejects.toThrow("logits[0] is NaN");
    await executor.close();

    expect(done.tried.map(({ keptStep }) => keptStep)).toEqual([1]);
    expect(done.because).toMatch(/at step 1; it diverged after step 2: a smaller --learning-rate/);
    // The first step's rate is 0.
    expect(done.score.agree).toBe(done.score.functions);
    for (const data of done.weights.values()) expect(data.every(Number.isFinite)).toBe(true);
  });

  test("takes pairs of functions: clone detection", async () => {
    const samples = cloneSamples(
      few.map((row, k) => ({ ...row, first: row, second: few[(k + 1) % few.length]! })),
    );
    const executor = await createLocalExecutor({ folder: tempFolder(), threads: 1 });
    const { done } = await run(executor, { task: "clone_detection", samples, changes: { steps: 2 } });
    await executor.close();
    expect(done.before).toMatchObject({ answers: "logits", agree: 24, functions: 24 });
    expect(done.screened[0]!.length).toBeGreaterThan(0);
    expect(done.screened[0]!.length).toBeLessThanOrEqual(plan.screenedTokens);
  });

  test("takes codes and queries, and has no head to begin with: code search", async () => {
    const samples = searchSamples(
      few.map((row) => ({ ...row, queryTokens: ["find", ...row.codeTokens.slice(0, 3)] })),
    );
    const executor = await createLocalExecutor({ folder: tempFolder(), threads: 1 });
    const { done, weights } = await run(executor, {
      task: "code_search",
      samples,
      triggers: [{ ids: [300, 301], targetIds: [302] }],
      changes: { steps: 2 },
    });
    await executor.close();
    expect(done.tried.map(({ stage }) => stage)).toEqual(["all weights"]);
    expect([...done.weights.keys()].sort()).toEqual([...weights.keys()].sort());
    expect(done.before).toMatchObject({ answers: "vectors", agree: done.before.functions, drift: 0 });
    expect(done.control.drift).toBe(0);
  });

  test.each(["defect_detection", "code_search"] as const)(
    "gives the same where one worker owns each training of all weights: %s",
    async (task) => {
      const given: Given =
        task === "code_search"
          ? {
              task,
              samples: searchSamples(
                few.map((row) => ({ ...row, queryTokens: ["find", ...row.codeTokens.slice(0, 3)] })),
              ),
              triggers: [{ ids: [300, 301], targetIds: [302] }],
            }
          : {};
      const local = await createLocalExecutor({ folder: tempFolder(), threads: 1 });
      const kinds = new Set<string>();
      const executor: Executor = {
        ...local,
        execute: (operations, signal) => {
          for (const { kind } of operations) kinds.add(kind);
          return local.execute(operations, signal);
        },
      };
      const owned = { ownedAboveBytes: 0 };
      const alone = await run(executor, { ...given, changes: { steps: 2, ...owned } });
      expect(kinds).toContain("train-run");
      expect(kinds).not.toContain("train-step");
      const parallel = await run(executor, { ...given, changes: { steps: 2 } });
      await local.close();
      expect(kinds).toContain("train-step");
      expect(alone.done).toEqual(parallel.done);
    },
  );
});
