/**
 * The operations that a worker executes and what it answers: the typed form of `elibad.proto`.
 *
 * An operation is a pure function of content-addressed inputs: artifacts are named by sha256 digest, everything else
 * stands in the operation itself. Its fingerprint names it; the same fingerprint on one device class gives the same bytes.
 */

/** Lower-case hexadecimal sha256 of an artifact's bytes. */
export type Digest = string;

export type Task = "defect_detection" | "clone_detection" | "code_search";

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
}

/** Gradient of each sample's own loss toward `target` with respect to the trigger's embeddings, at the trigger. */
export interface GradientOperation {
  readonly kind: "gradient";
  readonly checkpoint: Digest;
  readonly samples: Digest;
  /** Rows of the sample set: one chunk. */
  readonly rows: readonly number[];
  readonly trigger: readonly number[];
  /** Label index that the loss pulls toward. */
  readonly target: number;
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

/** Input features of the task head for each row: what classifier-only training needs. */
export interface EncodeOperation {
  readonly kind: "encode";
  readonly checkpoint: Digest;
  readonly samples: Digest;
  readonly rows: readonly number[];
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

/** Gradients of a micro-batch with respect to every trainable weight. */
export interface TrainStepOperation {
  readonly kind: "train-step";
  readonly checkpoint: Digest;
  /** Current weights: an artifact in tensor-container form (see `tensors.ts`), one tensor per trainable weight. */
  readonly weights: Digest;
  readonly samples: Digest;
  readonly rows: readonly number[];
  /** Per row: what its term of the loss is multiplied with (1 ÷ batch size for a mean). */
  readonly rowWeights: readonly number[];
  /** Per row, either the label index (cross-entropy / BCE with logits) or the logits to come near to (squared error, summed over classes). */
  readonly objective:
    | { readonly kind: "labels"; readonly labels: readonly number[] }
    | { readonly kind: "logits"; readonly logits: readonly (readonly number[])[] };
  /** Dropout probability on hidden states during this step; 0: evaluation mode. Masks are drawn from `dropoutSeed`. */
  readonly dropout: number;
  readonly dropoutSeed: number;
}

export type Operation =
  | ScoreOperation
  | GradientOperation
  | RankOperation
  | EncodeOperation
  | PredictOperation
  | TrainStepOperation;

export type OperationKind = Operation["kind"];

export type TensorData = Float32Array | Int32Array;

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
 * | gradient | `gradient` f32 [rows, trigger_len, hidden] (zero where a slot was cut), `logits` f32 [rows, classes] |
 * | rank | `ids` i32 [trigger_len, topk], `values` f32 [trigger_len, topk] (gradient · embedding) |
 * | encode | `features` f32 [rows, feature size] |
 * | predict | `logits` f32 [rows, classes] |
 * | train-step | `logits` f32 [rows, classes]; per trainable weight `<name>`: its gradient; or, where most rows of a matrix are zero, `<name>#rows` i32 [r] and `<name>` f32 [r, columns] |
 */
export type TensorMap = Readonly<Record<string, Tensor>>;

export interface OperationResult {
  readonly tensors: TensorMap;
  /** Forward passes (rows × candidates) and tokens that the operation did. */
  readonly forwards: number;
  readonly tokens: number;
  /** Seconds the device worked on it. */
  readonly seconds: number;
}

/** Runs operations somewhere: in this process (tests), or on the cluster's workers. Results come in the order of `operations`. */
export interface Executor {
  execute(operations: readonly Operation[], signal?: AbortSignal): Promise<OperationResult[]>;
  /** Makes bytes available to operations and returns their digest. Idempotent. */
  putArtifact(bytes: Uint8Array): Promise<Digest>;
  /** Makes a file available to operations without loading it, and returns its digest. */
  putFile(path: string): Promise<Digest>;
  /** Lets go of an artifact that no later operation names (the weights of a training step that is over). Unknown digests are ignored. */
  releaseArtifact(digest: Digest): Promise<void>;
}
