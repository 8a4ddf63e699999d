import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { SampleSet, Task, TensorMap } from "../../../proto/operations.ts";
import { encodeTensors } from "../../../proto/tensors.ts";
import type { Dtype } from "../../../worker/checkpoint/tensor-entry.ts";
import { architectureOf, architectures } from "../../../worker/models/architectures.ts";
import { parseConfig } from "../../../worker/models/config.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { loadWeights } from "../../support/golden.ts";
import { lossToward, putJson, rowsOf } from "../../support/golden-cell.ts";
import { denseGradient, trains } from "../../support/gradients.ts";
import {
  DRAWN_VOCABULARY,
  type DrawnModel,
  drawnConfigs,
  drawnDtypes,
  drawnKinds,
  FIRST_WORD,
  writeDrawnModel,
} from "../../support/random-architecture.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { uniform } from "../../support/uniform.ts";

/** Ids of the trigger's tokens, which stand nowhere else, so that their table rows are read at the trigger alone. */
const TRIGGER = [DRAWN_VOCABULARY - 1, DRAWN_VOCABULARY - 2];
const LENGTHS = [5, 9, 12];
/** Relative to the gradient's size: rounding of a float32 loss, divided by the step. */
const TOLERANCE = 5e-3;
const STEP = 0.003;

type Weights = Readonly<Record<string, { readonly shape: readonly number[]; readonly data: Float32Array }>>;

/** A drawn model with random rows on an executor, and its loss as a function of its weights. */
async function open(model: DrawnModel) {
  const folder = join(tempFolder(), "model");
  await writeDrawnModel(folder, model);
  const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 1 });
  const checkpoint = await putCheckpoint(executor, folder, model.task);
  const config = parseConfig(JSON.stringify(model.json));
  const draw = uniform(model.seed);
  const words = DRAWN_VOCABULARY - FIRST_WORD - TRIGGER.length;
  const row = (length: number) => [
    3,
    ...Array.from({ length: length - 2 }, () => FIRST_WORD + Math.floor(draw() * words)),
    2,
  ];
  const pairs = model.task === "clone_detection" ? { secondRows: [7, 4, 10].map(row) } : {};
  const set: SampleSet = {
    rows: LENGTHS.map(row),
    ...pairs,
    insertIndexes: LENGTHS.map((length) => 1 + Math.floor(draw() * (length - 2))),
    maxLen: 18,
    endId: 2,
  };
  const slopes = LENGTHS.map(() => Float32Array.from({ length: config.hiddenSize }, () => draw() - 0.5));
  const rowWeights = LENGTHS.map(() => 0.2 + draw());
  const stored = Object.fromEntries([...(await loadWeights(folder))].filter(([name]) => trains(name)));
  const rows = LENGTHS.map((_, index) => index);
  const labels = LENGTHS.map((_, index) => index % 2);
  const put = (weights: Weights) => executor.putArtifact(encodeTensors(weights));

  /** Each row's own loss, or its vector's product with its slopes. */
  const rowLosses = async (samples: string, weights: Weights): Promise<number[]> => {
    const artifact = await put(weights);
    const kind = model.task === "code_search" ? "encode" : "predict";
    const [result] = await executor.execute([{ kind, checkpoint, weights: artifact, samples, rows }]);
    await executor.releaseArtifact(artifact);
    return model.task === "code_search"
      ? rowsOf(result!.tensors.features!).map((vector, index) =>
          vector.reduce((sum, value, at) => sum + value * slopes[index]![at]!, 0),
        )
      : rowsOf(result!.tensors.logits!).map((logits, index) => lossToward(logits, labels[index]!));
  };
  return {
    model,
    executor,
    checkpoint,
    config,
    set,
    slopes,
    rowWeights,
    stored,
    rows,
    labels,
    put,
    rowLosses,
  };
}

type Opened = Awaited<ReturnType<typeof open>>;

/** One tensor moved by `step` along a direction. */
const moved = (weights: Weights, name: string, direction: Float32Array, step: number): Weights => {
  const { shape, data } = weights[name]!;
  return { ...weights, [name]: { shape, data: data.map((value, at) => value + step * direction[at]!) } };
};

/** What was compared, and what was left out since the loss bends too much near by. */
interface Tally {
  compared: number;
  leftOut: number;
}

/**
 * Compares a gradient's derivative along a direction with central differences at two steps, extrapolated to step 0. Differences that do not
 * agree with each other say nothing, whatever the gradient is.
 */
async function compare(
  {
    own,
    loss,
    scale,
    name,
  }: {
    readonly own: number;
    readonly loss: (step: number) => Promise<number>;
    readonly scale: number;
    readonly name: string;
  },
  tally: Tally,
): Promise<void> {
  const at = async (h: number) => ((await loss(h)) - (await loss(-h))) / (2 * h);
  const [wide, narrow] = [await at(STEP), await at(STEP / 2)];
  if (Math.abs(wide - narrow) > TOLERANCE * scale) {
    tally.leftOut++;
    return;
  }
  tally.compared++;
  expect(Math.abs(own - (4 * narrow - wide) / 3) / scale, name).toBeLessThan(2 * TOLERANCE);
}

const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, at) => sum + value * b[at]!, 0);

/** Half along the gradient, so that the loss moves, and half at random, so that a wrong element shows. */
function directionFor(gradient: Float32Array, draw: () => number): Float32Array {
  const random = gradient.map(() => draw() - 0.5);
  const [ofGradient, ofRandom] = [norm(gradient), norm(random)];
  return gradient.map((value, at) => value / ofGradient + random[at]! / ofRandom);
}

async function trainGradients(opened: Opened, samples: string): Promise<TensorMap> {
  const { executor, checkpoint, stored, rows, labels, slopes, rowWeights, model, put } = opened;
  const [result] = await executor.execute([
    {
      kind: "train-step",
      ...{ checkpoint, weights: await put(stored), samples, rows, rowWeights },
      objective:
        model.task === "code_search"
          ? { kind: "vectors", slopes: slopes.map((slope) => [...slope]) }
          : { kind: "labels", labels },
      dropout: 0,
      dropoutSeed: 0,
    },
  ]);
  return result!.tensors;
}

/** Every weight's gradient of the weighted loss of a padded batch. */
async function checkWeights(opened: Opened, tally: Tally): Promise<void> {
  const samples = await putJson(opened.executor, opened.set);
  const tensors = await trainGradients(opened, samples);
  const gradients = Object.entries(opened.stored).map(
    ([name, { shape }]) => [name, denseGradient(tensors, name, shape)] as const,
  );
  const largest = Math.max(...gradients.map(([, gradient]) => norm(gradient)));
  const draw = uniform(opened.model.seed + 1);
  // A small gradient drowns in the rounding of the loss. Of the others every third, another third for every seed.
  const chosen = gradients
    .filter(([, gradient]) => norm(gradient) > 0.02 * largest)
    .filter((_, at) => (at + opened.model.seed) % 3 === 0);
  expect(chosen.length).toBeGreaterThan(0);
  for (const [name, gradient] of chosen) {
    const direction = directionFor(gradient, draw);
    const loss = async (step: number) => {
      const losses = await opened.rowLosses(samples, moved(opened.stored, name, direction, step));
      return losses.reduce((sum, value, row) => sum + value * opened.rowWeights[row]!, 0);
    };
    const scale = Math.sqrt(largest * norm(gradient));
    await compare({ own: dot(gradient, direction), loss, scale, name }, tally);
  }
}

/** Each row's gradient by the trigger's embeddings, against its own loss with the trigger's rows of the table moved. */
async function checkTrigger(opened: Opened, tally: Tally): Promise<void> {
  const { executor, checkpoint, set, rows, slopes, config, stored, model } = opened;
  const own = await putJson(executor, set);
  const label = 1;
  const [result] = await executor.execute([
    {
      kind: "gradient",
      ...{ checkpoint, samples: own, rows, trigger: TRIGGER },
      objective: model.task === "code_search" ? { kind: "vectors", slopes } : { kind: "label", label },
    },
  ]);
  const { gradient } = result!.tensors;
  const size = TRIGGER.length * config.hiddenSize;
  const stamped: SampleSet = {
    ...set,
    rows: set.rows.map((ids, row) => {
      const at = set.insertIndexes![row]!;
      return [...ids.slice(0, at), ...TRIGGER, ...ids.slice(at)];
    }),
  };
  const samples = await putJson(executor, stamped);
  const table = architectureOf(config).wordTable({ prefix: "encoder." });
  const toward = { ...opened, labels: opened.labels.map(() => label) };
  // Every row reads the same rows of the table, so that one direction serves all of them.
  const slopeOf = (row: number) => (gradient!.data as Float32Array).slice(row * size, (row + 1) * size);
  const sum = rows.reduce(
    (total, row) => total.map((value, at) => value + slopeOf(row)[at]! / Math.max(norm(slopeOf(row)), 1e-6)),
    new Float32Array(size),
  );
  const direction = directionFor(sum, uniform(model.seed + 2));
  const inTable = new Float32Array(stored[table]!.data.length);
  for (const [k, id] of TRIGGER.entries()) {
    inTable.set(
      direction.subarray(k * config.hiddenSize, (k + 1) * config.hiddenSize),
      id * config.hiddenSize,
    );
  }
  const known = new Map<number, Promise<number[]>>();
  const lossesAt = (step: number): Promise<number[]> => {
    const asked = known.get(step) ?? rowLossesToward(toward, samples, moved(stored, table, inTable, step));
    known.set(step, asked);
    return asked;
  };
  for (const row of rows) {
    const slope = slopeOf(row);
    const loss = async (step: number) => (await lossesAt(step))[row]!;
    const scale = Math.max(norm(slope), 0.05);
    await compare({ own: dot(slope, direction), loss, scale, name: `row ${row}` }, tally);
  }
}

/** The same rows' losses toward one label. */
async function rowLossesToward(opened: Opened, samples: string, weights: Weights): Promise<number[]> {
  const { executor, checkpoint, model, rows, labels, put } = opened;
  if (model.task === "code_search") return opened.rowLosses(samples, weights);
  const artifact = await put(weights);
  const [result] = await executor.execute([
    { kind: "predict", checkpoint, weights: artifact, samples, rows },
  ]);
  await executor.releaseArtifact(artifact);
  return rowsOf(result!.tensors.logits!).map((logits, row) => lossToward(logits, labels[row]!));
}

/** Two runs for every task of an architecture. Its kinds, and the types of the weights, take turns. */
function runsOf(arch: keyof typeof drawnConfigs): { task: Task; kind: object; dtype: Dtype; seed: number }[] {
  const kinds = drawnKinds[arch];
  return architectures[arch].tasks.flatMap((task, at) =>
    [0, 1].map((k) => {
      const run = 2 * at + k;
      const turn = Math.floor(run / drawnDtypes.length);
      const dtype = drawnDtypes[run % drawnDtypes.length]!;
      return { task, kind: kinds[(run + turn) % kinds.length]!, dtype, seed: 20 + run };
    }),
  );
}

describe.each(Object.keys(drawnConfigs) as (keyof typeof drawnConfigs)[])(
  "random configurations of %s",
  (arch) => {
    test.each(architectures[arch].tasks)(
      "%s: gradients by weights and by the trigger equal central differences of the loss",
      async (task) => {
        const tally: Tally = { compared: 0, leftOut: 0 };
        for (const { kind, dtype, seed } of runsOf(arch).filter((run) => run.task === task)) {
          const models = fc.record({ json: drawnConfigs[arch], seed: fc.nat(1_000_000) });
          await fc.assert(
            fc.asyncProperty(models, async (drawn) => {
              const opened = await open({ ...drawn, json: { ...drawn.json, ...kind }, dtype, task });
              try {
                await checkWeights(opened, tally);
                await checkTrigger(opened, tally);
              } finally {
                await opened.executor.close();
              }
            }),
            { numRuns: 1, seed, endOnFailure: true },
          );
        }
        expect(tally.compared).toBeGreaterThan(4 * tally.leftOut);
      },
    );

    test("every kind and every type of weights is among them", () => {
      const runs = runsOf(arch);

      expect(new Set(runs.map(({ kind }) => kind))).toEqual(new Set(drawnKinds[arch]));
      expect(new Set(runs.map(({ dtype }) => dtype))).toEqual(new Set(drawnDtypes));
    });
  },
);
