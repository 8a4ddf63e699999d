import type { AdamWSettings, Digest, Executor, SampleSet, Tensor } from "../../proto/operations.ts";
import type { StepRecord } from "./head-trainer.ts";
import type { PlannedStep, Splitting } from "./planned-step.ts";

export interface TrainerSettings extends Splitting {
  readonly optimiser: Partial<AdamWSettings>;
  readonly maxGradNorm: number;
  /** Weights of more bytes are owned by one worker. Absent: the design's bound, which only tests move. */
  readonly ownedAboveBytes?: number;
}

/** Where the rows are: the digest that operations name, and the set itself, for the rows' lengths. */
export interface TrainingSamples {
  readonly digest: Digest;
  readonly set: SampleSet;
}

/** What is trained, and by whom. */
export interface TrainingParts {
  readonly executor: Executor;
  readonly checkpoint: Digest;
  /** The tensors to train, at their first values. The checkpoint's other tensors keep theirs. */
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly settings: TrainerSettings;
}

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of each step, in order; of the steps of a segment together, when it is done. */
  readonly onStep?: ((record: StepRecord, index: number) => void) | undefined;
}

/** A training of weights in one of its forms, which give the same bits. */
export interface WeightsTraining {
  run(steps: readonly PlannedStep[], samples: TrainingSamples, options: RunOptions): Promise<StepRecord[]>;
  weightsArtifact(): Promise<Digest>;
  weights(): Promise<Map<string, Float32Array>>;
  close(): Promise<void>;
}
