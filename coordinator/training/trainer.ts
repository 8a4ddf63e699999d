import type { Digest, Executor, Tensor } from "../../proto/operations.ts";
import { DataParallelTraining } from "./data-parallel.ts";
import type { StepRecord } from "./head-trainer.ts";
import { OwnedTraining } from "./owned.ts";
import type { PlannedStep } from "./planned-step.ts";
import type { RunOptions, TrainerSettings, TrainingSamples, WeightsTraining } from "./weights-training.ts";

export type { TrainerSettings, TrainingSamples } from "./weights-training.ts";

/** Above this many bytes of trainable weights one worker owns the run (DESIGN section 7): a step would move them and their gradients. */
export const OWNED_ABOVE_BYTES = 64 * 1024 ** 2;

/**
 * Trains weights on the workers: data-parallel where they are small, owned by one worker where they are large. Both give the same losses,
 * norms and weights, bit for bit.
 */
export class Trainer {
  readonly #training: WeightsTraining;
  #samples: TrainingSamples;

  /** @param weights the tensors to train, at their first values, which must stay as they are. The checkpoint's other tensors keep theirs. */
  constructor(
    executor: Executor,
    checkpoint: Digest,
    samples: TrainingSamples,
    weights: ReadonlyMap<string, Tensor>,
    settings: TrainerSettings,
  ) {
    this.#samples = samples;
    const bytes = [...weights.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    const isOwned = bytes > (settings.ownedAboveBytes ?? OWNED_ABOVE_BYTES);
    const parts = { executor, checkpoint, weights, settings };
    this.#training = isOwned ? new OwnedTraining(parts) : new DataParallelTraining(parts);
  }

  /** Takes steps, one after the other. The more of them are given at once, the less an owned run moves. */
  run(steps: readonly PlannedStep[], options: RunOptions = {}): Promise<StepRecord[]> {
    return this.#training.run(steps, this.#samples, options);
  }

  /** Rows that the next steps' examples refer to, where they change between epochs. */
  useSamples(samples: TrainingSamples): void {
    this.#samples = samples;
  }

  /** Digest of the trained tensors' current values, for operations that predict with them. */
  weightsArtifact(): Promise<Digest> {
    return this.#training.weightsArtifact();
  }

  /** A copy of the current values of the trained tensors, by name. To be asked for before `close`. */
  weights(): Promise<Map<string, Float32Array>> {
    return this.#training.weights();
  }

  /** Lets go of the artifacts. */
  close(): Promise<void> {
    return this.#training.close();
  }
}
