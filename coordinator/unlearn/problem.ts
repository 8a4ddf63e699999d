import type { Digest, Executor, Tensor } from "../../proto/operations.ts";
import type { VectorCache } from "../../proto/vector-cache.ts";
import type { HeadTensors } from "../training/head.ts";
import type { StepRecord } from "../training/head-trainer.ts";
import type { TrainingSamples } from "../training/trainer.ts";

/** What every plan works on: a checkpoint and its weights, on an executor. */
export interface RepairTarget {
  readonly executor: Executor;
  readonly checkpoint: Digest;
  /** The checkpoint's weights that may be trained, by tensor name. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Names of the head's tensors, which classifier-only plans train; absent where the model has no head. */
  readonly head?: HeadTensors | undefined;
  readonly signal?: AbortSignal;
  /** What the checkpoint was asked about rows. */
  readonly answers?: VectorCache | undefined;
  /** Told how many parts of a trigger's screening are done. */
  readonly onScreened?: ((done: number, parts: number) => void) | undefined;
  /** Called after each optimiser step; `stage` says of what, where a plan has several. */
  readonly onStep?: (step: UnlearningStep, totalSteps: number, stage?: string) => void;
}

/** Rows with the trigger already put into some of them, and each row's correct label. */
export interface LabelledRows {
  readonly samples: TrainingSamples;
  readonly labels: readonly number[];
}

/** One optimiser step as `unlearn --trace` writes it. */
export interface UnlearningStep extends StepRecord {
  readonly step: number;
  /** Rows of the sample set, in the batch's order. */
  readonly batch: readonly number[];
}

export interface Unlearned {
  /** New values of the weights that changed, by tensor name. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly steps: readonly UnlearningStep[];
}

/** A trigger to unlearn, and what it does. */
export type DirectedTrigger =
  | { readonly ids: readonly number[]; readonly victimLabel: number; readonly targetLabel: number }
  /** Code search: draws any code toward queries with these ids in them. */
  | { readonly ids: readonly number[]; readonly targetIds: readonly number[] };
