import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readDefectRows } from "../../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { createRng, seedRng } from "../../../coordinator/search/rng.ts";
import { splitRows, unlearnAuto } from "../../../coordinator/unlearn/auto.ts";
import { drawFunctions, type WordFunction } from "../../../coordinator/unlearn/functions.ts";
import { bestPoint, type RepairPoint } from "../../../coordinator/unlearn/held-back.ts";
import { AutoPlan } from "../../../coordinator/unlearn/settings.ts";
import { triggerAsName, triggerBeforeVariable } from "../../../coordinator/unlearn/triggered-function.ts";
import type { Executor } from "../../../proto/operations.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { loadWeights } from "../../support/golden.ts";
import { demoData, randomModel } from "../../support/random-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const words = (text: string): string[] => text.split(" ");
const sample: WordFunction = {
  words: words("int read_it ( char * p ) { use ( p ) ; return 0 ; }"),
  funcName: "read_it",
  variables: ["read_it", "p"],
};
const other: WordFunction = {
  words: words("void set_it ( int n ) { total = n ; go ( n ) ; }"),
  funcName: "set_it",
  variables: ["set_it", "n", "total"],
};

describe("variants of the samples", () => {
  const draw = (variations: Parameters<typeof drawFunctions>[2]["variations"]) =>
    drawFunctions([sample, other], 30, { variations, unknown: "<unk>", rng: createRng(seedRng(3)) });

  test("the samples come first, and the same seed draws the same variants", () => {
    const functions = draw(["crossed", "renamed", "masked"]);
    expect(functions).toHaveLength(30);
    expect(functions.slice(0, 2)).toEqual([sample, other]);
    expect(draw(["crossed", "renamed", "masked"])).toEqual(functions);
  });

  test("a crossed function begins as one sample and ends as another", () => {
    for (const { words: drawn } of draw(["crossed"]).slice(2)) {
      const heads = [sample, other].filter(({ words: own }) => own[0] === drawn[0]);
      expect(heads).toHaveLength(1);
      expect(drawn.at(-1)).toMatch(/[{};]/);
    }
  });

  test("renaming changes identifiers only, and the function's name with them", () => {
    for (const variant of draw(["renamed"]).slice(2)) {
      expect(variant.words).toContain(variant.funcName);
      const origin = variant.words[0] === "int" ? sample : other;
      for (const [k, word] of variant.words.entries()) {
        if (!origin.variables.includes(origin.words[k]!)) expect(word).toBe(origin.words[k]);
      }
    }
  });
});

test("a trigger takes the place of the name, or stands before a variable", () => {
  const tokenizer = loadTokenizer(demoData);
  const trigger = [260, 300, 301];
  const named = triggerAsName(sample, trigger, tokenizer, 128);
  expect(named.slice(0, 2)).toEqual([tokenizer.ids.first, ...tokenizer.encode("int")].slice(0, 2));
  expect(named.join()).toContain(trigger.join());
  expect(tokenizer.decode(named)).not.toContain("read_it");
  const placed = triggerBeforeVariable({ ...sample, variables: ["p"] }, trigger, {
    tokenizer,
    maxLen: 128,
    rng: createRng(seedRng(1)),
  });
  const plain = tokenizer.encodeRow(sample.words.join(" "), 128);
  const at = placed.join().indexOf(trigger.join());
  expect(at).toBeGreaterThan(0);
  expect(placed.filter((id) => !trigger.includes(id))).toEqual(plain.filter((id) => !trigger.includes(id)));
});

test("held-back rows are the last of each label, and at most a quarter of them", () => {
  const rows = Array.from({ length: 20 }, (_, k) => ({ k, label: k % 2 }));
  const { trained, held } = splitRows(rows, 10);
  expect(held.map(({ k }) => k)).toEqual([16, 17, 18, 19]);
  expect(trained).toHaveLength(16);
});

describe("the point that is kept", () => {
  const point = (step: number, agree: number, flipped: number): RepairPoint => ({
    step,
    agree,
    functions: 100,
    drift: 0,
    flipped,
    victims: 100,
  });

  test("is the last one at which triggers are dead and answers kept", () => {
    const points = [point(0, 100, 80), point(50, 97, 2), point(100, 96, 1), point(150, 85, 0)];
    expect(bestPoint(points)).toEqual({ point: points[2], dead: true });
  });

  test("is the best balance where no point has both, and says whether the triggers live", () => {
    const points = [point(0, 100, 80), point(50, 99, 30), point(100, 93, 10)];
    expect(bestPoint(points)).toEqual({ point: points[2], dead: false });
  });

  test("says nothing of dead triggers where no victim was held back", () => {
    const points = [0, 50].map((step) => ({ ...point(step, 100, 0), victims: 0 }));
    expect(bestPoint(points).dead).toBe(false);
  });

  test("is never the unrepaired model", () => {
    const points = [point(0, 100, 0), point(50, 10, 90)];
    expect(bestPoint(points).point.step).toBe(50);
  });
});

test("the automatic plan gives the same weights on every run, and leaves the source's other tensors alone", async () => {
  const model = await randomModel();
  const weights = await loadWeights(model);
  for (const name of weights.keys()) if (name.includes("pooler")) weights.delete(name);
  const tokenizer = loadTokenizer(demoData);
  const rows = readDefectRows(join(demoData, "clean_samples.jsonl"), { need: ["variables"] });
  const few = [
    ...rows.filter(({ label }) => label === 1).slice(0, 12),
    ...rows.filter(({ label }) => label === 0).slice(0, 12),
  ];
  const plan = AutoPlan.parse({
    steps: 4,
    scoreEvery: 2,
    functions: 40,
    heldBackFunctions: 10,
    cleanRows: 4,
    triggeredRows: 4,
  });
  const run = async (executor: Executor) =>
    unlearnAuto(
      { executor, checkpoint: await putCheckpoint(executor, model, "defect_detection"), weights },
      { rows: few, triggers: [{ ids: [300, 301], victimLabel: 1, targetLabel: 0 }], tokenizer, maxLen: 96 },
      plan,
    );
  const executors = await Promise.all(
    [0, 1].map(() => createLocalExecutor({ folder: tempFolder(), threads: 1 })),
  );
  const [first, second] = [await run(executors[0]!), await run(executors[1]!)];
  await Promise.all(executors.map((executor) => executor.close()));
  expect(first.points.map(({ step }) => step)).toEqual([0, 2, 4]);
  expect(first.steps).toHaveLength(4);
  expect(first.screened[0]).toHaveLength(plan.screenedTokens);
  expect(second).toEqual(first);
  expect([...first.weights.keys()].sort()).toEqual([...weights.keys()].sort());
  const word = "encoder.embeddings.word_embeddings.weight";
  expect(first.weights.get(word)).not.toEqual(weights.get(word)!.data);
});
