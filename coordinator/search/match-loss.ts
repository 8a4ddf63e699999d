/**
 * The loss of code search over n codes and n queries: how far every query is from every code. All in float64, added up in index order.
 *
 * score[i][j] = query vector i · code vector j; vectors have length 1, so that a score is a cosine.
 */

/** A row's vector, [feature size]. */
export type Vector = ArrayLike<number>;

/** Score of a query and a code. */
export function scoreOf(query: Vector, code: Vector): number {
  let sum = 0;
  for (let k = 0; k < query.length; k++) sum += query[k]! * code[k]!;
  return sum;
}

export interface MatchLoss {
  /** Mean over n × n of (score − 1)². */
  readonly mean: number;
  /** Per query: its summands, added up over the codes. */
  readonly queryLosses: readonly number[];
}

/** Every query toward every code (paper section "trigger inversion", code search). */
export function matchLoss(queries: readonly Vector[], codes: readonly Vector[]): MatchLoss {
  const queryLosses = queries.map((query) => {
    let sum = 0;
    for (const code of codes) sum += (scoreOf(query, code) - 1) ** 2;
    return sum;
  });
  let sum = 0;
  for (const loss of queryLosses) sum += loss;
  return { mean: sum / (queries.length * codes.length), queryLosses };
}

export interface MatchSlopes {
  /** Per query, [feature size]: ∂ mean loss / ∂ query vector, rounded once. */
  readonly queries: readonly Float32Array[];
  /** The same of the codes. */
  readonly codes: readonly Float32Array[];
}

/** How the mean loss changes with every vector: a row's gradient is that of its vector times this. */
export function matchSlopes(queries: readonly Vector[], codes: readonly Vector[]): MatchSlopes {
  const scale = 2 / (queries.length * codes.length);
  const pulls = queries.map((query) => codes.map((code) => scale * (scoreOf(query, code) - 1)));
  return {
    queries: pulls.map((row) => weightedSum(codes, row)),
    codes: codes.map((_, j) =>
      weightedSum(
        queries,
        pulls.map((row) => row[j]!),
      ),
    ),
  };
}

function weightedSum(vectors: readonly Vector[], weights: readonly number[]): Float32Array {
  const sum = new Float64Array(vectors[0]?.length ?? 0);
  for (const [row, vector] of vectors.entries())
    for (let k = 0; k < sum.length; k++) sum[k]! += weights[row]! * vector[k]!;
  return Float32Array.from(sum);
}
