import {
  add,
  div,
  gelu,
  gemm,
  matMul,
  mul,
  reduceMean,
  relu,
  reshape,
  simplifiedLayerNormalization,
  softmax,
  sqrt,
  transpose,
  type Value,
} from "../../graph/index.ts";
import { causalShares } from "../causal-shares.ts";
import type { Dropout } from "../dropout.ts";
import { fusedAttention } from "./fused-attention.ts";
import type { Rows, T5 } from "./rows.ts";

/** Where a layer's weights are named, and dropout under the layer's name. */
export interface Place {
  readonly at: string;
  readonly drop: Dropout;
}

/** Dropout whose sites are named below `name`. */
export const within =
  (dropout: Dropout, name: string): Dropout =>
  (x, site) =>
    dropout(x, `${name}.${site}`);

interface SelfAttention {
  /** Flat states that the layer is computed for: all, or one a row. */
  readonly asked: Value;
  /** Flat states that are attended to. */
  readonly states: Value;
  readonly rows: Rows;
  readonly bias: Value;
  /** No token sees a later one: the bias says so too. */
  readonly causal: boolean;
}

export function selfAttention(
  model: T5,
  { at, drop }: Place,
  { asked, states, rows, bias, causal }: SelfAttention,
): Value {
  const norm = `${at}.0.layer_norm`;
  const [query, read] = [rmsNorm(model, asked, norm), rmsNorm(model, states, norm)];
  const own = within(drop, "self");
  const place = { at: `${at}.0.SelfAttention`, drop: own };
  const context = attention(model, place, { query, read, rows, bias, causal });
  return add(asked, own(context, "output"));
}

export function crossAttention(
  model: T5,
  { at, drop }: Place,
  {
    asked,
    encoded,
    rows,
    bias,
  }: Pick<SelfAttention, "asked" | "rows"> & { readonly encoded: Value; readonly bias: Value | undefined },
): Value {
  const query = rmsNorm(model, asked, `${at}.1.layer_norm`);
  const own = within(drop, "cross");
  const place = { at: `${at}.1.EncDecAttention`, drop: own };
  return add(
    asked,
    own(attention(model, place, { query, read: encoded, rows, bias, causal: false }), "output"),
  );
}

/** Multi-head attention of flat `query` over flat `read`; the result has the shape of `query`. */
function attention(
  model: T5,
  { at, drop }: Place,
  attended: {
    readonly query: Value;
    readonly read: Value;
    readonly rows: Rows;
    readonly bias: Value | undefined;
    readonly causal: boolean;
  },
): Value {
  const { config, weights } = model;
  const { query, read, rows, bias, causal } = attended;
  const { batch, length } = rows;
  const queries = query.shape[0] === batch ? 1 : length;
  if (model.form === "fused" && (queries === 1 || !causal)) {
    const weight = (name: string) => weights.get(`${at}.${name}.weight`);
    const projected = dense(weight("q"), query);
    const context = fusedAttention(model, {
      ...attended,
      query: projected,
      keyWeight: weight("k"),
      valueWeight: weight("v"),
      dense,
    });
    return dense(weight("o"), context);
  }
  const { heads, headSize } = config;
  const part = (x: Value, name: string, tokens: string | 1) =>
    reshape(dense(weights.get(`${at}.${name}.weight`), x), [batch, tokens, heads, headSize]);
  const q = transpose(part(query, "q", queries), [0, 2, 1, 3]);
  const k = transpose(part(read, "k", length), [0, 2, 3, 1]);
  const v = transpose(part(read, "v", length), [0, 2, 1, 3]);
  const products = matMul(q, k);
  const scores = bias === undefined ? products : add(products, bias);
  const shares = drop(causal ? causalShares(scores, model.form) : softmax(scores), "probs");
  const context = reshape(transpose(matMul(shares, v), [0, 2, 1, 3]), [-1, heads * headSize]);
  return dense(weights.get(`${at}.o.weight`), context);
}

export function feedForward(model: T5, { at, drop }: Place, states: Value): Value {
  const { config, weights } = model;
  const own = within(drop, "feed_forward");
  const normed = rmsNorm(model, states, `${at}.layer_norm`);
  const part = (name: string) => dense(weights.get(`${at}.DenseReluDense.${name}.weight`), normed);
  const active = (x: Value) =>
    config.activation === "relu" ? relu(x) : gelu(x, config.activation === "gelu" ? "none" : "tanh");
  const inner = config.gated ? mul(active(part("wi_0")), part("wi_1")) : active(part("wi"));
  return add(
    states,
    own(dense(weights.get(`${at}.DenseReluDense.wo.weight`), own(inner, "inner")), "output"),
  );
}

/** x·Wᵀ, W [out, in] as torch stores it. */
const dense = (weight: Value, x: Value): Value => gemm(x, weight, null, { transB: true });

/** x ÷ √(mean of squares + ε) · weight. */
export function rmsNorm({ config, weights, form }: T5, x: Value, name: string): Value {
  const weight = weights.get(`${name}.weight`);
  if (form === "fused") return simplifiedLayerNormalization(x, weight, config.layerNormEps);
  const size = sqrt(add(reduceMean(mul(x, x), [1], true), config.layerNormEps));
  return mul(div(x, size), weight);
}
