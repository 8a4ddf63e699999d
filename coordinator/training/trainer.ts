import type {
  Digest,
  Executor,
  OperationResult,
  SampleSet,
  Tensor,
  TrainStepOperation,
} from "../../proto/operations.ts";
import { encodeTensors } from "../../proto/tensors.ts";
import { AdamW, type AdamWSettings } from "./adamw.ts";
import { featureRows } from "./features.ts";
import { clipFactor, GradientSum } from "./gradients.ts";
import type { StepRecord } from "./head-trainer.ts";
import { type Example, objectiveLoss } from "./objective.ts";
import type { VectorLoss } from "./vector-loss.ts";

export interface TrainerSettings {
  readonly optimiser: Partial<AdamWSettings>;
  readonly maxGradNorm: number;
  /** Rows of one train-step operation: part of the plan, since the order of the sum follows from it. */
  readonly microBatch: number;
  /** Dropout probability on hidden states; 0 trains in evaluation mode. */
  readonly dropout: number;
  readonly seed: number;
}

/** Gradients of a batch, not yet clipped, and its loss before the update. */
export interface BatchGradients {
  readonly sum: GradientSum;
  readonly loss: number;
}

/** Where the rows are: the digest that operations name, and the set itself, for the rows' lengths. */
export interface TrainingSamples {
  readonly digest: Digest;
  readonly set: SampleSet;
}

/**
 * Trains weights with gradients that workers compute (DESIGN section 7): each step sends the current weights as an artifact, splits
 * the batch into micro-batches of a fixed size, sums their gradients in index order, clips, and updates.
 */
export class Trainer {
  readonly #executor: Executor;
  readonly #checkpoint: Digest;
  #samples: TrainingSamples;
  readonly #settings: TrainerSettings;
  readonly #optimiser: AdamW;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #weights: Map<string, Float32Array>;
  #artifact: Digest | undefined;
  #steps = 0;

  /** @param weights the tensors to train, at their first values; copied. The checkpoint's other tensors keep theirs. */
  constructor(
    executor: Executor,
    checkpoint: Digest,
    samples: TrainingSamples,
    weights: ReadonlyMap<string, Tensor>,
    settings: TrainerSettings,
  ) {
    this.#executor = executor;
    this.#checkpoint = checkpoint;
    this.#samples = samples;
    this.#settings = settings;
    this.#optimiser = new AdamW(settings.optimiser);
    this.#shapes = new Map([...weights].map(([name, tensor]) => [name, tensor.shape]));
    this.#weights = new Map([...weights].map(([name, tensor]) => [name, Float32Array.from(tensor.data)]));
  }

  async step(batch: readonly Example[], learningRate: number, signal?: AbortSignal): Promise<StepRecord> {
    return this.#update(await this.gradients(batch, signal), learningRate);
  }

  /** One step on a loss of the rows' vectors: code search, where rows of a batch meet. */
  async stepOnVectors(
    rows: readonly number[],
    lossOf: VectorLoss,
    learningRate: number,
    signal?: AbortSignal,
  ): Promise<StepRecord> {
    return this.#update(await this.vectorGradients(rows, lossOf, signal), learningRate);
  }

  async #update({ sum, loss }: BatchGradients, learningRate: number): Promise<StepRecord> {
    const gradNorm = sum.norm();
    this.#optimiser.step(
      this.#weights,
      sum.rounded(clipFactor(gradNorm, this.#settings.maxGradNorm)),
      learningRate,
    );
    await this.#weightsChanged();
    this.#steps++;
    return { loss, gradNorm, learningRate };
  }

  /** Rows that the next steps' examples refer to, where they change between epochs. */
  useSamples(samples: TrainingSamples): void {
    this.#samples = samples;
  }

  /** Gradients and loss of a batch at the current weights, before clipping. */
  async gradients(batch: readonly Example[], signal?: AbortSignal): Promise<BatchGradients> {
    const weights = await this.weightsArtifact();
    const chunks = this.#microBatches(batch);
    const results = await this.#executor.execute(
      chunks.map((chunk, index) => this.#operation(chunk, index, weights)),
      signal,
    );
    const sum = new GradientSum(this.#shapes);
    let loss = 0;
    for (const [index, result] of results.entries()) {
      sum.add(result.tensors);
      loss += weightedLoss(chunks[index]!, result);
    }
    return { sum, loss };
  }

  /**
   * The same for a loss of the rows' vectors: all of them are encoded with the current weights, the loss gives ∂loss/∂vector, and each
   * micro-batch its part of the gradient. This is exact, and costs a second forward pass.
   */
  async vectorGradients(
    rows: readonly number[],
    lossOf: VectorLoss,
    signal?: AbortSignal,
  ): Promise<BatchGradients> {
    // The slopes are of vectors without dropout; another mask in the train-step would give the gradient of another loss.
    if (this.#settings.dropout > 0) throw new Error("no dropout in the training of code search");
    const weights = await this.weightsArtifact();
    const chunks = this.#microBatches(rows.map((row, at) => ({ row, at })));
    const common = { checkpoint: this.#checkpoint, weights, samples: this.#samples.digest };
    const encoded = await this.#executor.execute(
      chunks.map((chunk) => ({ kind: "encode", ...common, rows: chunk.map(({ row }) => row) })),
      signal,
    );
    const vectors: Float32Array[] = [];
    for (const [k, result] of encoded.entries()) {
      const own = featureRows(result);
      for (const [i, { at }] of chunks[k]!.entries()) vectors[at] = own[i]!;
    }
    const { loss, slopes } = lossOf(vectors);
    const results = await this.#executor.execute(
      chunks.map(
        (chunk): TrainStepOperation => ({
          kind: "train-step",
          ...common,
          rows: chunk.map(({ row }) => row),
          rowWeights: chunk.map(() => 1),
          objective: { kind: "vectors", slopes: chunk.map(({ at }) => [...slopes[at]!]) },
          dropout: 0,
          dropoutSeed: 0,
        }),
      ),
      signal,
    );
    const sum = new GradientSum(this.#shapes);
    for (const { tensors } of results) sum.add(tensors);
    return { sum, loss };
  }

  /** Digest of the trained tensors' current values, for operations that predict with them. */
  async weightsArtifact(): Promise<Digest> {
    this.#artifact ??= await this.#executor.putArtifact(
      encodeTensors(
        Object.fromEntries(
          [...this.#weights].map(([name, data]) => [name, { shape: this.#shapes.get(name)!, data }]),
        ),
      ),
    );
    return this.#artifact;
  }

  /** A copy of the current values of the trained tensors, by name. */
  weights(): Map<string, Float32Array> {
    return new Map([...this.#weights].map(([name, data]) => [name, Float32Array.from(data)]));
  }

  /** Takes weights back to an earlier copy; the optimiser's moments stay. */
  async restore(weights: ReadonlyMap<string, Float32Array>): Promise<void> {
    for (const [name, data] of weights) this.#weights.get(name)?.set(data);
    await this.#weightsChanged();
  }

  /** Lets go of the weights' artifact. */
  async close(): Promise<void> {
    await this.#weightsChanged();
  }

  async #weightsChanged(): Promise<void> {
    const old = this.#artifact;
    this.#artifact = undefined;
    if (old) await this.#executor.releaseArtifact(old);
  }

  /** Rows of similar length together, so that little is padded; ties keep the batch's order. */
  #microBatches<E extends { readonly row: number }>(batch: readonly E[]): E[][] {
    const { rows, secondRows } = this.#samples.set;
    const length = ({ row }: E): number => (rows[row]?.length ?? 0) + (secondRows?.[row]?.length ?? 0);
    const sorted = [...batch].sort((a, b) => length(a) - length(b));
    const chunks: E[][] = [];
    for (let start = 0; start < sorted.length; start += this.#settings.microBatch) {
      chunks.push(sorted.slice(start, start + this.#settings.microBatch));
    }
    return chunks;
  }

  #operation(chunk: readonly Example[], index: number, weights: Digest): TrainStepOperation {
    return {
      kind: "train-step",
      checkpoint: this.#checkpoint,
      weights,
      samples: this.#samples.digest,
      rows: chunk.map((example) => example.row),
      rowWeights: chunk.map((example) => example.weight),
      objective: objectiveOf(chunk),
      dropout: this.#settings.dropout,
      dropoutSeed: (this.#settings.seed + this.#steps * 1_000_003 + index * 7_919) % 2 ** 31,
    };
  }
}

/** The wire form of a chunk's objectives. A chunk mixes no kinds: batches are made of one kind. */
function objectiveOf(chunk: readonly Example[]): TrainStepOperation["objective"] {
  const labels: number[] = [];
  const logits: (readonly number[])[] = [];
  for (const { objective } of chunk) {
    if (objective.kind === "label") labels.push(objective.label);
    else logits.push(objective.logits);
  }
  if (labels.length > 0 && logits.length > 0)
    throw new Error("a batch mixes labels and logits as objectives");
  return labels.length > 0 ? { kind: "labels", labels } : { kind: "logits", logits };
}

function weightedLoss(chunk: readonly Example[], result: OperationResult): number {
  const logits = result.tensors.logits;
  if (!logits) throw new Error("a train-step result has no logits");
  const classes = logits.shape[1] ?? 1;
  return chunk.reduce(
    (sum, example, k) =>
      sum +
      example.weight * objectiveLoss(logits.data.subarray(k * classes, (k + 1) * classes), example.objective),
    0,
  );
}
