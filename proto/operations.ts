/**
 * The operations that a worker executes and what it answers: the typed form of `elibad.proto`.
 *
 * An operation is a pure function of content-addressed inputs: artifacts are named by sha256 digest, everything else
 * stands in the operation itself. Its fingerprint names it; the same fingerprint on one device class gives the same bytes.
 */

/** Lower-case hexadecimal sha256 of an artifact's bytes. */
export type Digest = string;

export type Task = "defect_detection" | "clone_detection" | "code_search";

/**
 * How programs are built: of ONNX's own operators, or with onnxruntime's fused ones. The forms round differently, so the plan names one,
 * and whoever computes keeps to it.
 */
export const PROGRAM_FORMS = ["primitive", "fused"] as const;
export type ProgramForm = (typeof PROGRAM_FORMS)[number];

/** A checkpoint as workers get it: the artifact is this object as canonical JSON, its files are artifacts too. */
export interface CheckpointManifest {
  readonly task: Task;
  /** Files of the checkpoint folder that a worker needs (`config.json` and weights), names without folders, ascending. */
  readonly files: readonly { readonly name: string; readonly digest: Digest; readonly bytes: number }[];
}

/** Token ids of the rows that operations refer to by index: the artifact is this object as canonical JSON. */
export interface SampleSet {
  /** Ids with first and end token, without padding; never longer than `maxLen`. */
  readonly rows: readonly (readonly number[])[];
  /** Clone detection: ids of each row's second snippet, in the same form; triggers go into `rows` alone. Absent in other tasks. */
  readonly secondRows?: readonly (readonly number[])[];
  /** Sub-token index at which a trigger is spliced into each row. Absent where no operation stamps. */
  readonly insertIndexes?: readonly number[];
  /** Longest row after stamping, in tokens (`code_max_len`). */
  readonly maxLen: number;
  /** Id that the last column of a full row gets after stamping. */
  readonly endId: number;
}

/** Ids that a trigger may use, ascending: the artifact is this object as canonical JSON. */
export interface Vocabulary {
  readonly ids: readonly number[];
}

/** Logits of every trigger stamped into one sample: a tile. */
export interface ScoreOperation {
  readonly kind: "score";
  readonly checkpoint: Digest;
  readonly samples: Digest;
  /** Row of the sample set. */
  readonly sample: number;
  /** Candidate triggers, all of one length; length 0 scores the clean row. */
  readonly triggers: readonly (readonly number[])[];
  /** "fp16": products of matrices are computed in float16. Absent: everything in float32. */
  readonly precision?: "fp16";
  /** Absent: "primitive". */
  readonly form?: "fused";
}

/** What a trigger's gradient is of: each row's own loss toward a label, or, in code search, each row's vector times a given one. */
export type GradientObjective =
  | { readonly kind: "label"; readonly label: number }
  /** Per row, [feature size]: ∂loss/∂vector, from losses in which rows meet. */
  | { readonly kind: "vectors"; readonly slopes: readonly Float32Array[] };

/** Gradient of each row's objective with respect to the trigger's embeddings, at the trigger. */
export interface GradientOperation {
  readonly kind: "gradient";
  readonly checkpoint: Digest;
  readonly samples: Digest;
  /** Rows of the sample set: one chunk. */
  readonly rows: readonly number[];
  readonly trigger: readonly number[];
  readonly objective: GradientObjective;
  /**
   * "encoder": as the published code does for T5, the decoder reads padding in the trigger's place; the same as absent where there is no
   * decoder. Absent: every look-up counts.
   */
  readonly reads?: "encoder";
}

/** The `topk` vocabulary ids with the largest −(gradient · embedding) for each trigger position, largest first; ties to the lower id. */
export interface RankOperation {
  readonly kind: "rank";
  readonly checkpoint: Digest;
  readonly vocabulary: Digest;
  /** [trigger_len, hidden]: gradient of the mean loss, rounded once to float32. */
  readonly gradient: readonly Float32Array[];
  readonly topk: number;
}

/** Input features of the task head for each row (what classifier-only training needs); in code search the row's vector. */
export interface EncodeOperation {
  readonly kind: "encode";
  readonly checkpoint: Digest;
  /** Weights that replace the checkpoint's own while training; absent: the checkpoint's. */
  readonly weights?: Digest;
  readonly samples: Digest;
  readonly rows: readonly number[];
  /** Triggers, all of one length, each stamped into every row; absent: the rows as they are. */
  readonly triggers?: readonly (readonly number[])[];
  /** Absent: "primitive". */
  readonly form?: "fused";
}

/**
 * Code search: for each pair of a trigger and a target, the sum of (score − 1)² over a block of queries and all codes,
 * score[i][j] = query vector i · code vector j: one summand of the pair's loss times n².
 */
export interface ScorePairsOperation {
  readonly kind: "score-pairs";
  readonly checkpoint: Digest;
  /** Artifact in tensor-container form: `vectors` f32 [triggers, n, feature size], each code with each trigger. */
  readonly codes: Digest;
  /** The same of the queries: `vectors` f32 [targets, n, feature size]. */
  readonly queries: Digest;
  /** Queries of the block, ascending. */
  readonly rows: readonly number[];
  /** Index of the trigger and of the target, row-major. */
  readonly pairs: readonly (readonly [number, number])[];
}

/** Logits of each row as it is. */
export interface PredictOperation {
  readonly kind: "predict";
  readonly checkpoint: Digest;
  /** Weights that replace the checkpoint's own while training; absent: the checkpoint's. */
  readonly weights?: Digest;
  readonly samples: Digest;
  readonly rows: readonly number[];
}

/** Rows of a training batch that go through the network together. */
export interface MicroBatch {
  readonly rows: readonly number[];
  /** Per row: what its term of the loss is multiplied with (1 ÷ batch size for a mean; 1 for slopes that are those of the whole loss). */
  readonly rowWeights: readonly number[];
  /**
   * Per row, the label index (cross-entropy / BCE with logits), the logits to come near to (squared error, summed over classes), or, in code
   * search, ∂loss/∂vector [feature size], from a loss in which the rows of a batch meet.
   */
  readonly objective:
    | { readonly kind: "labels"; readonly labels: readonly number[] }
    | { readonly kind: "logits"; readonly logits: readonly (readonly number[])[] }
    | { readonly kind: "vectors"; readonly slopes: readonly (readonly number[])[] };
  /** Dropout masks are drawn from it. */
  readonly dropoutSeed: number;
}

/** Gradients of a micro-batch with respect to every trainable weight. */
export interface TrainStepOperation extends MicroBatch {
  readonly kind: "train-step";
  readonly checkpoint: Digest;
  /** Current weights: an artifact in tensor-container form (see `tensors.ts`), one tensor per trainable weight. */
  readonly weights: Digest;
  readonly samples: Digest;
  /** Dropout probability on hidden states during this step; 0: evaluation mode. */
  readonly dropout: number;
}

/** Settings of the optimiser (`worker/training/adamw.ts`). */
export interface AdamWSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
}

/** Where a training run stands. Its artifacts are in tensor-container form, one tensor per trainable weight, of the same shapes. */
export interface TrainingState {
  readonly weights: Digest;
  /** The optimiser's running means of each gradient and of its square; absent before the first step. */
  readonly moments?: { readonly means: Digest; readonly squares: Digest };
  /** Optimiser steps done. */
  readonly steps: number;
}

/** A loss in which the vectors of a batch's rows meet (code search); `worker/training/vector-loss.ts` computes it. */
export type VectorLoss =
  /** The first half of the batch are codes, the second half their queries. */
  | { readonly kind: "contrastive" }
  /** Per row of the batch, the vector to come near to, and the row's weight. */
  | {
      readonly kind: "distance";
      readonly targets: readonly (readonly number[])[];
      readonly weights: readonly number[];
    };

/** One optimiser step, with its batch in micro-batches, whose gradients are added in their order. */
export type SegmentStep = { readonly learningRate: number } & (
  | { readonly kind: "rows"; readonly microBatches: readonly MicroBatch[] }
  | {
      readonly kind: "vectors";
      /** `places`: where each row stands in the batch, as `loss` counts. */
      readonly microBatches: readonly {
        readonly rows: readonly number[];
        readonly places: readonly number[];
      }[];
      readonly loss: VectorLoss;
    }
);

/**
 * Some optimiser steps, one after the other: a segment of a training run whose weights one worker owns. It gives the same bits as the
 * same steps made of train-steps.
 */
export interface TrainRunOperation {
  readonly kind: "train-run";
  readonly checkpoint: Digest;
  /** Where the segment begins. */
  readonly state: TrainingState;
  readonly samples: Digest;
  readonly optimiser: AdamWSettings;
  /** Gradients of a larger L2 norm are scaled down to it. */
  readonly maxGradNorm: number;
  /** Dropout probability on hidden states; 0: evaluation mode. */
  readonly dropout: number;
  readonly steps: readonly SegmentStep[];
}

export type Operation =
  | ScoreOperation
  | GradientOperation
  | RankOperation
  | EncodeOperation
  | ScorePairsOperation
  | PredictOperation
  | TrainStepOperation
  | TrainRunOperation;

export type OperationKind = Operation["kind"];

export const OPERATION_KINDS = Object.keys({
  ...{ score: 0, gradient: 0, rank: 0, encode: 0, predict: 0 },
  ...{ "score-pairs": 0, "train-step": 0, "train-run": 0 },
} satisfies Record<OperationKind, 0>) as readonly OperationKind[];

export type TensorData = Float32Array | Float64Array | Int32Array;

export interface Tensor<D extends TensorData = TensorData> {
  readonly shape: readonly number[];
  readonly data: D;
}

/**
 * What an operation gives: named tensors.
 *
 * | kind | tensors |
 * |---|---|
 * | score | `logits` f32 [triggers, classes] |
 * | gradient | `gradient` f32 [rows, trigger_len, hidden] (zero where a slot was cut); toward a label `logits` f32 [rows, classes], else `features` f32 [rows, feature size] |
 * | rank | `ids` i32 [trigger_len, topk], `values` f32 [trigger_len, topk] (gradient · embedding) |
 * | encode | `features` f32 [rows, feature size]; with triggers [rows × triggers, feature size], a row's triggers one after the other |
 * | score-pairs | `sums` f64 [pairs] |
 * | predict | `logits` f32 [rows, classes] |
 * | train-step | `logits` f32 [rows, classes], with vectors as objective `features` f32 [rows, feature size] instead; per trainable weight `<name>`: its gradient; or, where most rows of a matrix are zero, `<name>#rows` i32 [r] and `<name>` f32 [r, columns] |
 * | train-run | `losses` f64 [steps] before each update, `norms` f64 [steps] before clipping; and the state after the last step as artifacts `weights`, `means`, `squares` |
 */
export type TensorMap = Readonly<Record<string, Tensor>>;

export interface OperationResult {
  readonly tensors: TensorMap;
  /** What is too large to be read by everyone who waits: artifacts by name, which later operations may name and the receiver lets go of. */
  readonly artifacts?: Readonly<Record<string, Digest>>;
  /**
   * Forward passes (rows × candidates) and tokens that the operation did; a second snippet counts when it was encoded, and not when its vector
   * was still there. So unlike the tensors, these depend on what the worker did before.
   */
  readonly forwards: number;
  readonly tokens: number;
  /** Seconds the device worked on it. */
  readonly seconds: number;
}

/** Runs operations somewhere: in this process (tests), or on the cluster's workers. Results come in the order of `operations`. */
export interface Executor {
  execute(operations: readonly Operation[], signal?: AbortSignal): Promise<OperationResult[]>;
  /** The one device class that results come from, beginning with its provider; undefined before the first one, or where nobody says. */
  readonly deviceClass?: string | undefined;
  /** Makes bytes available to operations and returns their digest. Idempotent. */
  putArtifact(bytes: Uint8Array): Promise<Digest>;
  /** Makes a file available to operations without loading it, and returns its digest. */
  putFile(path: string): Promise<Digest>;
  /** Bytes of an artifact that was put, or that a result named. Rejects where it is not there any more. */
  readArtifact(digest: Digest): Promise<Uint8Array>;
  /** Lets go of an artifact that no later operation names (the weights of a training step that is over). Unknown digests are ignored. */
  releaseArtifact(digest: Digest): Promise<void>;
}
