import type {
  Digest,
  OperationResult,
  Tensor,
  TrainingState,
  TrainRunOperation,
} from "../../proto/operations.ts";
import { decodeTensors, encodeTensors } from "../../proto/tensors.ts";
import { ADAMW_DEFAULTS } from "../../worker/training/adamw.ts";
import { adopt, lend, takeBack } from "../search/lent-artifacts.ts";
import { doubles, UnexpectedResultError } from "../search/results.ts";
import type { StepRecord } from "./head-trainer.ts";
import { type PlannedStep, split } from "./planned-step.ts";
import { segmentLength } from "./segments.ts";
import type { RunOptions, TrainingParts, TrainingSamples, WeightsTraining } from "./weights-training.ts";

/**
 * One worker owns weights and optimiser, and does segments of several steps. The state after each comes back as artifacts, so that a worker
 * that is lost costs one segment and any other goes on. Nothing here holds the weights.
 */
export class OwnedTraining implements WeightsTraining {
  readonly #parts: Omit<TrainingParts, "weights">;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #count: number;
  /** Until the first artifact is made of them. */
  #initial: ReadonlyMap<string, Tensor> | undefined;
  #state: TrainingState | undefined;
  #steps = 0;

  constructor({ weights, ...parts }: TrainingParts) {
    this.#parts = parts;
    this.#initial = weights;
    this.#shapes = new Map([...weights].map(([name, { shape }]) => [name, shape]));
    this.#count = [...weights.values()].reduce((sum, { data }) => sum + data.length, 0);
  }

  async run(
    planned: readonly PlannedStep[],
    samples: TrainingSamples,
    { signal, onStep }: RunOptions,
  ): Promise<StepRecord[]> {
    const steps = planned.map((step, k) => split(step, this.#steps + k, samples.set, this.#parts.settings));
    const records: StepRecord[] = [];
    while (records.length < steps.length) {
      signal?.throwIfAborted();
      const left = steps.slice(records.length);
      const segment = left.slice(0, segmentLength(left, samples.set, this.#count));
      const [result] = await this.#parts.executor.execute(
        [this.#operation(segment, await this.#begin(), samples.digest)],
        signal,
      );
      await this.#goOnFrom(result!, segment.length);
      const losses = doubles(result!, "losses", segment.length);
      const norms = doubles(result!, "norms", segment.length);
      for (const [k, { learningRate }] of segment.entries()) {
        records.push({ loss: losses[k]!, gradNorm: norms[k]!, learningRate });
        onStep?.(records.at(-1)!, records.length - 1);
      }
    }
    return records;
  }

  async weightsArtifact(): Promise<Digest> {
    return (await this.#begin()).weights;
  }

  /** Read from the artifact each time. */
  async weights(): Promise<Map<string, Float32Array>> {
    const digest = await this.weightsArtifact();
    const tensors = decodeTensors(await this.#parts.executor.readArtifact(digest));
    return new Map(
      [...this.#shapes].map(([name, shape]) => {
        const tensor = tensors[name];
        if (tensor?.data instanceof Float32Array && tensor.shape.join() === shape.join())
          return [name, tensor.data];
        throw new UnexpectedResultError(
          `trained weights: '${name}' is ${tensor ? `[${tensor.shape}]` : "missing"}, expected float32 [${shape}]`,
        );
      }),
    );
  }

  async close(): Promise<void> {
    const old = this.#state;
    this.#state = undefined;
    if (old) await this.#letGoOf(old);
  }

  /** The state to begin with: that of the last segment, or the first weights. */
  async #begin(): Promise<TrainingState> {
    if (this.#state) return this.#state;
    if (!this.#initial) throw new Error("the training is closed");
    const weights = await lend(this.#parts.executor, encodeTensors(Object.fromEntries(this.#initial)));
    this.#initial = undefined;
    this.#state = { weights, steps: 0 };
    return this.#state;
  }

  async #goOnFrom({ artifacts = {} }: OperationResult, steps: number): Promise<void> {
    const { weights, means, squares } = artifacts;
    if (!weights || !means || !squares) throw new UnexpectedResultError("a train-run gave no whole state");
    this.#steps += steps;
    const old = this.#state!;
    this.#state = { weights, moments: { means, squares }, steps: this.#steps };
    for (const digest of [weights, means, squares]) adopt(this.#parts.executor, digest);
    await this.#letGoOf(old);
  }

  async #letGoOf({ weights, moments }: TrainingState): Promise<void> {
    for (const digest of moments ? [weights, moments.means, moments.squares] : [weights])
      await takeBack(this.#parts.executor, digest);
  }

  #operation(steps: TrainRunOperation["steps"], state: TrainingState, samples: Digest): TrainRunOperation {
    const { checkpoint, settings } = this.#parts;
    const { optimiser, maxGradNorm, dropout } = settings;
    return {
      kind: "train-run",
      ...{ checkpoint, state, samples, maxGradNorm, dropout, steps },
      optimiser: { ...ADAMW_DEFAULTS, ...optimiser },
    };
  }
}
