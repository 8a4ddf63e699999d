import type { TensorData, TensorMap } from "../../proto/operations.ts";

/** Suffix of the tensor that lists which rows of a matrix a row-sparse gradient holds. */
const ROWS_SUFFIX = "#rows";

/**
 * Sum of micro-batch gradients, in float64 and in the order in which they are added, so that the sum depends on the plan alone,
 * never on which worker was faster.
 */
export class GradientSum {
  readonly #sums = new Map<string, Float64Array>();
  readonly #shapes: ReadonlyMap<string, readonly number[]>;

  /** @param shapes of every trainable parameter */
  constructor(shapes: ReadonlyMap<string, readonly number[]>) {
    this.#shapes = shapes;
  }

  /** Adds a train-step's tensors; `logits` and tensors that are no parameter are passed over. */
  add(tensors: TensorMap): void {
    for (const [name, shape] of this.#shapes) {
      const part = tensors[name];
      if (!part) continue;
      const sum = this.#sumOf(name, shape);
      const rows = tensors[`${name}${ROWS_SUFFIX}`];
      if (rows)
        addRows(
          sum,
          part.data,
          rows.data,
          shape.slice(1).reduce((product, dim) => product * dim, 1),
        );
      else addAll(sum, part.data, name);
    }
  }

  /** L2 norm over all gradients: what clipping compares with its limit. */
  norm(): number {
    let square = 0;
    for (const sum of this.#sums.values()) for (let i = 0; i < sum.length; i++) square += sum[i]! * sum[i]!;
    return Math.sqrt(square);
  }

  /** The gradients, each scaled by `factor` and rounded once to float32; made one at a time, since all of them are as large as the model. */
  *rounded(factor: number): Generator<[string, Float32Array]> {
    for (const [name, sum] of this.#sums) {
      const gradient = new Float32Array(sum.length);
      for (let i = 0; i < sum.length; i++) gradient[i] = sum[i]! * factor;
      yield [name, gradient];
    }
  }

  #sumOf(name: string, shape: readonly number[]): Float64Array {
    const known = this.#sums.get(name);
    if (known) return known;
    const fresh = new Float64Array(shape.reduce((product, dim) => product * dim, 1));
    this.#sums.set(name, fresh);
    return fresh;
  }
}

function addAll(sum: Float64Array, part: TensorData, name: string): void {
  if (part.length !== sum.length) {
    throw new Error(`gradient of '${name}' has ${part.length} values, expected ${sum.length}`);
  }
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + part[i]!;
}

function addRows(sum: Float64Array, part: TensorData, rows: TensorData, columns: number): void {
  for (let r = 0; r < rows.length; r++) {
    const start = rows[r]! * columns;
    for (let c = 0; c < columns; c++) sum[start + c] = sum[start + c]! + part[r * columns + c]!;
  }
}

/** Factor that brings a gradient of this norm under the limit (`torch.nn.utils.clip_grad_norm_`). */
export const clipFactor = (norm: number, maxNorm: number): number => Math.min(1, maxNorm / (norm + 1e-6));
