import type { Digest, MicroBatch, TensorMap } from "../../proto/operations.ts";
import { encodeTensors } from "../../proto/tensors.ts";
import { AdamW } from "../../worker/training/adamw.ts";
import { type Network, type Training, takeStep } from "../../worker/training/take-step.ts";
import { lend, takeBack } from "../search/lent-artifacts.ts";
import { floatRows } from "../search/results.ts";
import type { StepRecord } from "./head-trainer.ts";
import { type PlannedStep, split } from "./planned-step.ts";
import type { RunOptions, TrainingParts, TrainingSamples, WeightsTraining } from "./weights-training.ts";

/**
 * The coordinator owns weights and optimiser; all workers compute gradients. Each step lends the current weights as an artifact, asks for
 * the gradients of its micro-batches, and updates.
 */
export class DataParallelTraining implements WeightsTraining {
  readonly #parts: TrainingParts;
  readonly #training: Training;
  #artifact: Digest | undefined;
  #steps = 0;

  constructor(parts: TrainingParts) {
    this.#parts = parts;
    const { weights, settings } = parts;
    this.#training = {
      weights: new Map([...weights].map(([name, { data }]) => [name, Float32Array.from(data)])),
      shapes: new Map([...weights].map(([name, { shape }]) => [name, shape])),
      optimiser: new AdamW(settings.optimiser),
      maxGradNorm: settings.maxGradNorm,
    };
  }

  async run(
    steps: readonly PlannedStep[],
    samples: TrainingSamples,
    { signal, onStep }: RunOptions,
  ): Promise<StepRecord[]> {
    const records: StepRecord[] = [];
    for (const [index, step] of steps.entries()) {
      signal?.throwIfAborted();
      const whole = split(step, this.#steps, samples.set, this.#parts.settings);
      const network = this.#network(samples.digest, await this.weightsArtifact(), signal);
      const taken = await takeStep(whole, network, this.#training);
      await this.close();
      this.#steps++;
      records.push({ ...taken, learningRate: step.learningRate });
      onStep?.(records.at(-1)!, index);
    }
    return records;
  }

  async weightsArtifact(): Promise<Digest> {
    const { weights, shapes } = this.#training;
    this.#artifact ??= await lend(
      this.#parts.executor,
      encodeTensors(
        Object.fromEntries([...weights].map(([name, data]) => [name, { shape: shapes.get(name)!, data }])),
      ),
    );
    return this.#artifact;
  }

  async weights(): Promise<Map<string, Float32Array>> {
    return new Map([...this.#training.weights].map(([name, data]) => [name, Float32Array.from(data)]));
  }

  /** Takes the weights' artifact back: the weights are others now, or nobody asks any more. */
  async close(): Promise<void> {
    const old = this.#artifact;
    this.#artifact = undefined;
    if (old !== undefined) await takeBack(this.#parts.executor, old);
  }

  #network(samples: Digest, weights: Digest, signal: AbortSignal | undefined): Network {
    const { executor, checkpoint, settings } = this.#parts;
    const common = { checkpoint, weights, samples };
    return {
      async *encode(batches): AsyncGenerator<readonly Float32Array[]> {
        const results = await executor.execute(
          batches.map((rows) => ({ kind: "encode", ...common, rows })),
          signal,
        );
        for (const [k, result] of results.entries()) yield floatRows(result, "features", batches[k]!.length);
      },
      async *gradients(microBatches: readonly MicroBatch[]): AsyncGenerator<TensorMap> {
        const { dropout } = settings;
        const results = await executor.execute(
          microBatches.map((microBatch) => ({ kind: "train-step", ...common, dropout, ...microBatch })),
          signal,
        );
        for (const { tensors } of results) yield tensors;
      },
    };
  }
}
