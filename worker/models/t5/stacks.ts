import {
  add,
  concat,
  div,
  expand,
  gather,
  gelu,
  gemm,
  matMul,
  max,
  min,
  mul,
  range,
  reduceMean,
  relu,
  reshape,
  shapeTensor,
  slice,
  softmax,
  sqrt,
  sub,
  tensor,
  transpose,
  unsqueeze,
  type Value,
} from "../../graph/index.ts";
import type { ModelInGraph } from "../architecture.ts";
import type { Dropout } from "../dropout.ts";
import { LOWEST_FLOAT32 } from "../padded.ts";
import { relativeBucket } from "./buckets.ts";
import type { T5Config } from "./config.ts";
import { relativeTable, wordTable } from "./shapes.ts";

/**
 * T5's encoder and decoder (`modeling_t5.py` of Hugging Face transformers) as a graph: no biases, RMS norm before each part, attention
 * that is not scaled, one table of biases by distance for all layers of a stack. States are kept flat, [B·T, hidden].
 */
type T5 = ModelInGraph<T5Config>;

export interface StackOptions {
  readonly dropout: Dropout;
  readonly padding?: Padding | undefined;
}

/** What a batch of padded rows needs beside its ids. */
export interface Padding {
  /** Added to attention scores, [B, 1, 1, T]: 0 for tokens, the lowest float for padding. */
  readonly keyBias: Value;
  /** 1 at each row's last token, 0 elsewhere: [B, 1, T]. */
  readonly ends: Value;
}

/**
 * The decoder's state at the end of each row after the final norm, [B, hidden], from word vectors [B, T, hidden]: of the row, which the
 * encoder reads, and of what the decoder reads.
 */
export function endStates(
  model: T5,
  { words, decoderWords }: { readonly words: Value; readonly decoderWords: Value },
  options: StackOptions,
): Value {
  const encoded = encoderStates(model, words, options);
  return decoderEndStates(model, decoderWords, encoded, options);
}

/** What the decoder reads for rows of word vectors [B, T, hidden]: the start id's vector, then all but the last. */
export function shiftedRight({ graph, config, layout, weights }: T5, words: Value): Value {
  const [batch] = words.shape;
  const start = weights.lookup(wordTable(layout), graph.constant(tensor("int32", [1, 1], [config.startId])));
  return concat([expand(start, [batch!, 1, config.hiddenSize]), slice(words, 1, 0, -1)], 1);
}

function encoderStates(model: T5, words: Value, { dropout, padding }: StackOptions): Value {
  const { config, layout } = model;
  const rows = rowsOf(words);
  const at = `${layout.prefix}encoder`;
  const drop = within(dropout, "encoder");
  const bias = masked(biasOfAll(model, "encoder", rows), padding);
  let states = drop(reshape(words, [-1, config.hiddenSize]), "embeddings");
  for (let block = 0; block < config.layers; block++) {
    states = model.graph.scope(`encoder.${block}`, () => {
      const place = { at: `${at}.block.${block}.layer`, drop: within(drop, `block.${block}`) };
      const attended = selfAttention(model, place, { asked: states, states, rows, bias });
      return feedForward(model, { ...place, at: `${place.at}.1` }, attended);
    });
  }
  return drop(rmsNorm(model, states, `${at}.final_layer_norm`), "final");
}

/** Layers but the last are computed for all tokens, since later ones attend to them; the last one for the ends alone. */
function decoderEndStates(
  model: T5,
  words: Value,
  encoded: Value,
  { dropout, padding }: StackOptions,
): Value {
  const { config, layout } = model;
  const rows = rowsOf(words);
  const at = `${layout.prefix}decoder`;
  const drop = within(dropout, "decoder");
  let states = drop(reshape(words, [-1, config.hiddenSize]), "embeddings");
  for (let block = 0; block < config.decoderLayers; block++) {
    const last = block === config.decoderLayers - 1;
    states = model.graph.scope(`decoder.${block}`, () => {
      const place = { at: `${at}.block.${block}.layer`, drop: within(drop, `block.${block}`) };
      const asked = last ? endsOf(states, rows, padding) : states;
      const bias = masked(
        last ? biasOfEnds(model, rows, padding) : biasOfAll(model, "decoder", rows),
        padding,
      );
      const attended = selfAttention(model, place, { asked, states, rows, bias });
      const informed = crossAttention(model, place, {
        asked: attended,
        encoded,
        rows,
        bias: padding?.keyBias,
      });
      return feedForward(model, { ...place, at: `${place.at}.2` }, informed);
    });
  }
  return drop(rmsNorm(model, states, `${at}.final_layer_norm`), "final");
}

interface Rows {
  readonly batch: string;
  readonly length: string;
}

const rowsOf = ({ shape }: Value): Rows => ({ batch: shape[0] as string, length: shape[1] as string });

/** Where a layer's weights are named, and dropout under the layer's name. */
interface Place {
  readonly at: string;
  readonly drop: Dropout;
}

const within =
  (dropout: Dropout, name: string): Dropout =>
  (x, site) =>
    dropout(x, `${name}.${site}`);

/** States [B·T, hidden] at the end of each row: [B, hidden]. */
function endsOf(states: Value, { batch, length }: Rows, padding: Padding | undefined): Value {
  const hidden = states.shape[1]!;
  const byRow = reshape(states, [batch, length, hidden]);
  const found = padding === undefined ? slice(byRow, 1, -1) : matMul(padding.ends, byRow);
  return reshape(found, [-1, hidden]);
}

interface SelfAttention {
  /** Flat states that the layer is computed for: all, or one a row. */
  readonly asked: Value;
  /** Flat states that are attended to. */
  readonly states: Value;
  readonly rows: Rows;
  readonly bias: Value;
}

function selfAttention(model: T5, { at, drop }: Place, { asked, states, rows, bias }: SelfAttention): Value {
  const norm = `${at}.0.layer_norm`;
  const [query, read] = [rmsNorm(model, asked, norm), rmsNorm(model, states, norm)];
  const own = within(drop, "self");
  const context = attention(model, { at: `${at}.0.SelfAttention`, drop: own }, { query, read, rows, bias });
  return add(asked, own(context, "output"));
}

function crossAttention(
  model: T5,
  { at, drop }: Place,
  {
    asked,
    encoded,
    rows,
    bias,
  }: Omit<SelfAttention, "states" | "bias"> & { readonly encoded: Value; readonly bias: Value | undefined },
): Value {
  const query = rmsNorm(model, asked, `${at}.1.layer_norm`);
  const own = within(drop, "cross");
  const place = { at: `${at}.1.EncDecAttention`, drop: own };
  return add(asked, own(attention(model, place, { query, read: encoded, rows, bias }), "output"));
}

/** Multi-head attention of flat `query` over flat `read`; the result has the shape of `query`. */
function attention(
  { config, weights }: T5,
  { at, drop }: Place,
  {
    query,
    read,
    rows: { batch, length },
    bias,
  }: {
    readonly query: Value;
    readonly read: Value;
    readonly rows: Rows;
    readonly bias: Value | undefined;
  },
): Value {
  const { heads, headSize } = config;
  const queries = query.shape[0] === batch ? 1 : length;
  const part = (x: Value, name: string, tokens: string | 1) =>
    reshape(dense(weights.get(`${at}.${name}.weight`), x), [batch, tokens, heads, headSize]);
  const q = transpose(part(query, "q", queries), [0, 2, 1, 3]);
  const k = transpose(part(read, "k", length), [0, 2, 3, 1]);
  const v = transpose(part(read, "v", length), [0, 2, 1, 3]);
  const products = matMul(q, k);
  const shares = drop(softmax(bias === undefined ? products : add(products, bias)), "probs");
  const context = reshape(transpose(matMul(shares, v), [0, 2, 1, 3]), [-1, heads * headSize]);
  return dense(weights.get(`${at}.o.weight`), context);
}

function feedForward(model: T5, { at, drop }: Place, states: Value): Value {
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
function rmsNorm({ config, weights }: T5, x: Value, name: string): Value {
  const size = sqrt(add(reduceMean(mul(x, x), [1], true), config.layerNormEps));
  return mul(div(x, size), weights.get(`${name}.weight`));
}

// Biases of attention scores by distance

/** [1, heads, T, T]: of every query (row) for every key (column); in the decoder the lowest float for keys behind the query. */
function biasOfAll(model: T5, stack: "encoder" | "decoder", { length }: Rows): Value {
  const places = range(model.graph, length);
  const distances = sub(unsqueeze(places, [0]), unsqueeze(places, [1]));
  return unsqueeze(transpose(biasAt(model, stack, distances), [2, 0, 1]), [0]);
}

/** The decoder's rows of the same for each row's last token: [1 or B, heads, 1, T]. */
function biasOfEnds(model: T5, rows: Rows, padding: Padding | undefined): Value {
  if (padding !== undefined) {
    return matMul(unsqueeze(padding.ends, [1]), biasOfAll(model, "decoder", rows));
  }
  const { graph } = model;
  const distances = sub(range(graph, rows.length), shapeTensor(graph, [`${rows.length}-1`]));
  return unsqueeze(transpose(biasAt(model, "decoder", distances), [1, 0]), [0, 2]);
}

/** Biases [..., heads] at distances [...] = key position − query position. */
function biasAt(
  { graph, config, layout, weights }: T5,
  stack: "encoder" | "decoder",
  distances: Value,
): Value {
  const { relativeBuckets: buckets, relativeMaxDistance: most } = config;
  const directions = stack === "encoder" ? "both" : "past";
  const known = Array.from({ length: 2 * most + 1 }, (_, index) => index - most);
  const bucketOf = known.map((distance) =>
    relativeBucket(distance, { buckets, maxDistance: most, directions }),
  );
  const rows = weights.lookup(
    relativeTable(layout.prefix, stack),
    graph.constant(tensor("int32", [known.length], bucketOf)),
  );
  const ahead = known.map((distance) => (stack === "decoder" && distance > 0 ? LOWEST_FLOAT32 : 0));
  const byDistance =
    stack === "encoder" ? rows : add(rows, graph.constant(tensor("float32", [known.length, 1], ahead)));
  return gather(byDistance, add(max(min(distances, most), -most), most));
}

const masked = (bias: Value, padding: Padding | undefined): Value =>
  padding === undefined ? bias : add(bias, padding.keyBias);
