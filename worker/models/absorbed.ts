import {
  gemm,
  mul,
  multiHeadAttention,
  reduceSum,
  reshape,
  tensor,
  unsqueeze,
  type Value,
} from "../graph/index.ts";

interface Absorbed {
  /** Projected query of one token a row, [B, heads · head size]. */
  readonly query: Value;
  /** What is attended to, [B, T, hidden]. */
  readonly states: Value;
  /** [heads · head size, hidden], as torch stores them. */
  readonly keyWeight: Value;
  readonly valueWeight: Value;
  readonly heads: number;
  readonly scale: number;
  /** Added to the scores, [1 or B, heads, 1, T]. */
  readonly bias?: Value;
}

/**
 * Attention of one token a row without keys and values of its own: q · (W_k s) = (W_k' q) · s, and what W_v gives of a weighted mean is the
 * weighted mean of what it gives. So both weights are applied once a head instead of once a token: [B, heads · head size], to which the
 * value's bias, where there is one, is still to be added. A key's bias adds the same to all scores of a row, and changes nothing.
 *
 * Each head's query stands in a row of its own with zeros for the other heads, since then all products are dense layers, whose rows have the
 * same bits in every batch and on any number of threads. Products by head have not: onnxruntime splits them among threads.
 */
export function absorbedAttention({
  query,
  states,
  keyWeight,
  valueWeight,
  heads,
  scale,
  bias,
}: Absorbed): Value {
  const { graph } = query;
  const [batch, , hidden] = states.shape;
  const inner = query.shape[1] as number;
  const ofHead = graph.constant(tensor("float32", [heads, inner], headOfColumn(heads, inner)));
  const apart = mul(unsqueeze(query, [1]), ofHead);
  const asked = gemm(reshape(apart, [-1, inner]), keyWeight);
  const pooled = multiHeadAttention(reshape(asked, [batch!, heads, hidden!]), states, states, {
    numHeads: 1,
    scale,
    // To the operator, heads are queries of one head.
    attentionBias: bias === undefined ? null : reshape(bias, [bias.shape[0]!, 1, heads, bias.shape[3]!]),
  });
  const values = gemm(reshape(pooled, [-1, hidden!]), valueWeight, null, { transB: true });
  // One summand of each sum is not 0, so its order does not matter.
  return reduceSum(mul(reshape(values, [batch!, heads, inner]), ofHead), [1]);
}

/** [heads, columns]: 1 where a column belongs to the head. */
const headOfColumn = (heads: number, columns: number): number[] =>
  Array.from({ length: heads * columns }, (_, k) =>
    Math.floor((k % columns) / (columns / heads)) === Math.floor(k / columns) ? 1 : 0,
  );
