import type { VectorLoss } from "../../proto/operations.ts";

/** A loss of a batch's vectors, and its gradient by each of them. */
export interface LossAndSlopes {
  readonly loss: number;
  /** Per row, [feature size]: ∂loss/∂vector. */
  readonly slopes: readonly Float64Array[];
}

/** What the published training multiplies cosines with before the softmax. */
const SCALE = 20;

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

const addTimes = (into: Float64Array, factor: number, vector: ArrayLike<number>): void => {
  for (let i = 0; i < into.length; i++) into[i] = into[i]! + factor * vector[i]!;
};

/** The loss of vectors in the order of the batch, computed in float64. */
export function lossOfVectors(loss: VectorLoss, vectors: readonly ArrayLike<number>[]): LossAndSlopes {
  return loss.kind === "contrastive" ? contrastive(vectors) : distance(vectors, loss);
}

/**
 * The published training of code search: each query's mean cross-entropy, in nats, of 20 × its cosines with all codes of the batch against its own
 * code. The first half of the vectors are codes, the second half their queries, in the same order.
 */
export const contrastiveLoss: VectorLoss = { kind: "contrastive" };

/** Squared distance of each row's vector to a given one, times the row's weight, summed over rows. */
export const distanceLoss = (
  targets: readonly (readonly number[])[],
  weights: readonly number[],
): VectorLoss => ({ kind: "distance", targets, weights });

function contrastive(vectors: readonly ArrayLike<number>[]): LossAndSlopes {
  const n = vectors.length / 2;
  const [codes, queries] = [vectors.slice(0, n), vectors.slice(n)];
  const slopes = vectors.map(({ length }) => new Float64Array(length));
  let loss = 0;
  for (const [i, query] of queries.entries()) {
    const scores = codes.map((code) => SCALE * dot(query, code));
    const largest = Math.max(...scores);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - largest), 0);
    loss += (Math.log(total) + largest - scores[i]!) / n;
    for (const [j, code] of codes.entries()) {
      const slope = (SCALE * (Math.exp(scores[j]! - largest) / total - (i === j ? 1 : 0))) / n;
      addTimes(slopes[n + i]!, slope, code);
      addTimes(slopes[j]!, slope, query);
    }
  }
  return { loss, slopes };
}

function distance(
  vectors: readonly ArrayLike<number>[],
  { targets, weights }: Extract<VectorLoss, { kind: "distance" }>,
): LossAndSlopes {
  let loss = 0;
  const slopes = vectors.map((vector, row) =>
    Float64Array.from(vector, (value, i) => {
      const apart = value - targets[row]![i]!;
      loss += weights[row]! * apart * apart;
      return 2 * weights[row]! * apart;
    }),
  );
  return { loss, slopes };
}
