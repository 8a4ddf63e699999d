import { meanOf } from "../../coordinator/training/example.ts";
import type { StepRecord } from "../../coordinator/training/head-trainer.ts";
import type { PlannedStep } from "../../coordinator/training/planned-step.ts";
import { putSamples } from "../../coordinator/training/sample-artifact.ts";
import { Trainer, type TrainerSettings } from "../../coordinator/training/trainer.ts";
import type { Executor, Task } from "../../proto/operations.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { contrastiveLoss } from "../../worker/training/vector-loss.ts";
import { loadWeights } from "./golden.ts";
import { trains } from "./gradients.ts";
import { readSharedJson, sharedPath } from "./shared.ts";

export interface TrainingCase {
  readonly cell: { readonly block: number; readonly task: Task };
  readonly inputs: {
    readonly input_ids: readonly (readonly number[])[];
    readonly lengths: readonly number[];
    readonly lengths_second?: readonly number[];
    readonly labels: readonly number[];
    readonly query_ids?: readonly (readonly number[])[];
    readonly query_lengths?: readonly number[];
  };
}

/** Batches of rows that every cell has. */
const BATCHES = [
  [0, 1, 2, 3],
  [4, 5, 1],
  [2, 0, 5, 4],
  [3, 1],
];

/** What training a `golden/tiny` cell begins with: its recorded case, and weights, rows and checkpoint as the executor knows them. */
export async function putCell<C extends TrainingCase>(executor: Executor, cell: string) {
  const golden = readSharedJson<C>("golden", "tiny", cell, "case.json");
  const { cell: about, inputs } = golden;
  const { block, task } = about;
  const { input_ids, lengths, lengths_second, query_ids = [], query_lengths = [] } = inputs;
  const home = sharedPath("golden", "tiny", cell);
  const weights = new Map([...(await loadWeights(home))].filter(([name]) => trains(name)));
  const second = lengths_second && {
    secondRows: input_ids.map((row, k) => row.slice(block, block + lengths_second[k]!)),
  };
  const samples = await putSamples(executor, {
    rows: [
      ...input_ids.map((row, k) => row.slice(0, lengths[k])),
      ...query_ids.map((row, k) => row.slice(0, query_lengths[k])),
    ],
    ...second,
    maxLen: block,
    endId: 2,
  });
  return { golden, weights, samples, checkpoint: await putCheckpoint(executor, home, task) };
}

/** All weights of a `golden/tiny` cell, ready to be trained for a few steps in micro-batches of three rows. */
export async function openTraining(
  executor: Executor,
  cell: string,
  settings: Partial<TrainerSettings> = {},
): Promise<{ readonly trainer: Trainer; readonly steps: readonly PlannedStep[] }> {
  const { golden, weights, samples, checkpoint } = await putCell<TrainingCase>(executor, cell);
  const { inputs } = golden;
  const trainer = new Trainer(executor, checkpoint, samples, weights, {
    ...{ optimiser: { weightDecay: 0.01 }, maxGradNorm: 1, microBatch: 3, dropout: 0, seed: 1 },
    ...settings,
  });
  const steps = BATCHES.map((rows, k): PlannedStep => {
    const learningRate = 1e-3 / (k + 1);
    if (golden.cell.task === "code_search") {
      const queries = rows.map((row) => inputs.input_ids.length + row);
      return { kind: "vectors", rows: [...rows, ...queries], loss: contrastiveLoss, learningRate };
    }
    const examples = rows.map((row) => ({
      row,
      objective: { kind: "label", label: inputs.labels[row]! } as const,
    }));
    return { kind: "rows", batch: meanOf(examples), learningRate };
  });
  return { trainer, steps };
}

/** What a training run came to. */
export interface Outcome {
  readonly records: readonly StepRecord[];
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** Trains a cell; `lengths` say after how many steps the run is asked for the next ones. */
export async function trainCell(
  executor: Executor,
  cell: string,
  settings: Partial<TrainerSettings> = {},
  lengths: readonly number[] = [BATCHES.length],
): Promise<Outcome> {
  const { trainer, steps } = await openTraining(executor, cell, settings);
  const records: StepRecord[] = [];
  for (const length of lengths) {
    records.push(...(await trainer.run(steps.slice(records.length, records.length + length))));
  }
  const weights = await trainer.weights();
  await trainer.close();
  return { records, weights };
}
