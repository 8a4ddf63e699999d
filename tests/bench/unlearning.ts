import { readDefectRows } from "../../coordinator/data/samples.ts";
import { seedRng } from "../../coordinator/search/rng.ts";
import { scanRows } from "../../coordinator/search/scan-rows.ts";
import { planBatches } from "../../coordinator/training/batches.ts";
import { putSamples } from "../../coordinator/training/sample-artifact.ts";
import { unlearnPublished } from "../../coordinator/unlearn/published.ts";
import { PublishedPlan } from "../../coordinator/unlearn/settings.ts";
import { stamp } from "../../proto/stamping.ts";
import { classifierHead } from "../../worker/models/head.ts";
import { loadWeights } from "../support/golden.ts";
import { uniform } from "../support/uniform.ts";
import { largestDifference } from "./agreement.ts";
import { startClock, type Time } from "./clock.ts";
import type { BenchModel } from "./models.ts";
import { LOOPS, type Loop } from "./opponent.ts";
import { randomIds, randomRow, rowEnds } from "./random-rows.ts";
import type { Bench, Measurement, Scenario, ScenarioResult } from "./scenario.ts";
import { MAX_LEN } from "./search-problem.ts";

/** Passes over the rows after the first one. */
const FURTHER = 5;
/** Head weights are to agree to this, of the largest of a tensor. */
const WEIGHTS = 2e-5;
/** More than this is no rounding. */
const WRONG = 1e-3;

interface LabelledIds {
  readonly rows: readonly (readonly number[])[];
  readonly labels: readonly number[];
}

/** Clean samples of both labels, every tenth with a trigger in it; the bench wants their cost alone. */
function trainingRows({ config, data }: BenchModel, count: number): LabelledIds {
  const draw = uniform(17);
  const all: readonly { readonly ids: readonly number[]; readonly label: number }[] = data
    ? scanRows(readDefectRows(data.samples), data.tokenizer(), MAX_LEN)
    : Array.from({ length: count }, (_, k) => ({
        ids: randomRow(60 + Math.floor(draw() * (MAX_LEN - 60)), config, draw),
        label: k % 2,
      }));
  const rows = evenly(all, count);
  const trigger = randomIds(5, config, draw);
  const limits = { maxLen: MAX_LEN, endId: rowEnds(config).restored };
  return {
    rows: rows.map(({ ids }, k) => (k % 10 === 0 ? stamp([...ids], trigger, 1, limits) : ids)),
    labels: rows.map(({ label }) => label),
  };
}

/** `count` of the items, from all parts of the list. */
const evenly = <T>(items: readonly T[], count: number): T[] =>
  Array.from(
    { length: Math.min(count, items.length) },
    (_, k) => items[Math.floor((k * items.length) / count)]!,
  );

interface UnlearningPlan {
  readonly rows: number;
  readonly usual: number;
  /** Published loop ÷ elibad in the first epoch, and the first epoch ÷ a further one, at least. */
  readonly targets: { readonly first: number; readonly further: number };
}

async function measureUnlearning(
  bench: Bench,
  model: BenchModel,
  { rows: count, usual, targets }: UnlearningPlan,
): Promise<ScenarioResult> {
  const executor = await bench.models.executor(bench.threads);
  const { rows, labels } = trainingRows(model, count);
  const endId = rowEnds(model.config).restored;
  const samples = await putSamples(executor, { rows, maxLen: MAX_LEN, endId });
  const weights = await loadWeights(model.folder);
  const plan = PublishedPlan.parse({});
  const batches = planBatches(rows.length, plan.batchSize, 1, seedRng(plan.seed));

  /** Runs the plan and says when each optimiser step was done. */
  const unlearn = async (epochs: number) => {
    const clock = startClock();
    const done: Time[] = [];
    const { weights: head, steps } = await unlearnPublished(
      {
        executor,
        checkpoint: model.checkpoint,
        weights,
        head: classifierHead,
        onStep: () => void done.push(clock()),
      },
      { samples, labels },
      { ...plan, epochs },
      epochs === 1 ? batches : undefined,
    );
    return { head, steps, done };
  };

  await executor.execute([
    { kind: "encode", checkpoint: model.checkpoint, samples: samples.digest, rows: [0] },
  ]); // compiles the program
  const about =
    bench.torch && (await bench.torch.open(model, "unlearning", { rows, labels, max_len: MAX_LEN }));
  const first: Time[] = [];
  const further: Time[] = [];
  const theirs: Record<Loop, Time[]> = { published: [], SDPA: [] };
  let apart = 0;
  for (let k = 0; k < bench.repetitions(usual); k++) {
    bench.say(`${model.about}: unlearning ${k}`);
    const { head, steps, done } = await unlearn(1);
    first.push(done.at(-1)!);
    const { done: long } = await unlearn(1 + FURTHER);
    const [begin, end] = [long[batches.length - 1]!, long.at(-1)!];
    further.push({
      wall: (end.wall - begin.wall) / FURTHER,
      processor: (end.processor - begin.processor) / FURTHER,
    });
    for (const loop of bench.torch ? LOOPS : []) {
      const answer = await bench.torch!.call<{ time: Time; weights: Record<string, number[]> }>("train", {
        batches,
        rates: steps.map(({ learningRate }) => learningRate),
        clip: plan.maxGradNorm,
        loop,
      });
      theirs[loop].push(answer.time);
      for (const [name, values] of head)
        apart = Math.max(apart, largestDifference(values, answer.weights[name] ?? []));
      if (!(apart <= WRONG))
        throw new Error(
          `the head's weights differ from PyTorch's by ${apart} of the largest, more than ${WRONG}`,
        );
    }
  }
  await executor.close();
  const ratio = (a: readonly Time[], b: readonly Time[], of: keyof Time) =>
    a.map((time, k) => time[of] / b[k]![of]);
  const compared = (about ? LOOPS : []).flatMap((loop): Measurement[] => [
    { name: `${loop}: an epoch`, unit: "s", values: theirs[loop].map(({ wall }) => wall) },
    {
      name: `${loop} ÷ elibad, first epoch`,
      unit: "×",
      values: ratio(theirs[loop], first, "wall"),
      ...(loop === "published" ? { target: { bound: "at least", value: targets.first } } : {}),
    },
    { name: "the same, by processor time", unit: "×", values: ratio(theirs[loop], first, "processor") },
    { name: `${loop} ÷ elibad, a further epoch`, unit: "×", values: ratio(theirs[loop], further, "wall") },
  ]);
  return {
    measurements: [
      { name: "first epoch, its encodings included", unit: "s", values: first.map(({ wall }) => wall) },
      { name: "a further epoch, rate or seed", unit: "s", values: further.map(({ wall }) => wall) },
      {
        name: "first ÷ further",
        unit: "×",
        values: ratio(first, further, "wall"),
        target: { bound: "at least", value: targets.further },
      },
      ...compared,
      ...(about
        ? [
            {
              name: "head weights: apart, of a tensor's largest",
              unit: "10⁻⁶",
              values: [apart * 1e6],
              target: { bound: "at most", value: WEIGHTS * 1e6 } as const,
            },
          ]
        : []),
    ],
    notes: [
      `${model.about}; ${rows.length} rows in batches of ${plan.batchSize}, the head alone, no dropout`,
      ...(about ? [`published: ${about.published}; SDPA: ${about.SDPA}; both encode every epoch anew`] : []),
    ],
  };
}

export const unlearning: Scenario = {
  name: "unlearning",
  about: "the published unlearning of a small model's head: first epoch and further ones",
  run: async (bench) =>
    measureUnlearning(bench, await bench.models.small(), {
      rows: 100,
      usual: 5,
      targets: { first: 2.5, further: 50 },
    }),
};

export const unlearningBase: Scenario = {
  name: "unlearning-base",
  about: "the same in the shape of codebert-base",
  run: async (bench) =>
    measureUnlearning(bench, await bench.models.base(), {
      rows: 64,
      usual: 2,
      targets: { first: 2, further: 500 },
    }),
};
