import { multiHeadAttention, reshape, type Value } from "../../graph/index.ts";
import { absorbedAttention } from "../absorbed.ts";
import type { Rows, T5 } from "./rows.ts";

interface Projected {
  /** Flat projected queries: of all tokens, or of one a row. */
  readonly query: Value;
  /** Flat states that are attended to. */
  readonly read: Value;
  readonly keyWeight: Value;
  readonly valueWeight: Value;
  readonly rows: Rows;
  readonly bias: Value | undefined;
  /** x·Wᵀ */
  readonly dense: (weight: Value, x: Value) => Value;
}

/** Multi-head attention by onnxruntime's operators: [·, heads · head size]. */
export function fusedAttention({ config }: T5, projected: Projected): Value {
  const { query, read, keyWeight, valueWeight, rows, bias, dense } = projected;
  const { batch, length } = rows;
  const { heads, headSize } = config;
  const scale = 1;
  if (query.shape[0] === batch) {
    const states = reshape(read, [batch, length, read.shape[1]!]);
    return absorbedAttention({
      query,
      states,
      keyWeight,
      valueWeight,
      heads,
      scale,
      ...(bias && { bias }),
    });
  }
  const inner = heads * headSize;
  const [q, k, v] = [query, dense(keyWeight, read), dense(valueWeight, read)].map((part) =>
    reshape(part, [batch, length, inner]),
  ) as [Value, Value, Value];
  const context = multiHeadAttention(q, k, v, {
    numHeads: heads,
    scale,
    ...(bias && { attentionBias: bias }),
  });
  return reshape(context, [-1, inner]);
}
