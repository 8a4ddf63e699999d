import { concat, expand, matMul, reshape, slice, tensor, type Value } from "../../graph/index.ts";
import type { Dropout } from "../dropout.ts";
import { biasOfAll, biasOfEnds, masked } from "./distance-bias.ts";
import { crossAttention, feedForward, rmsNorm, selfAttention, within } from "./layers.ts";
import { type Padding, type Rows, rowsOf, type T5 } from "./rows.ts";
import { wordTable } from "./shapes.ts";

// T5's encoder and decoder (`modeling_t5.py` of Hugging Face transformers) as a graph: no biases, RMS norm before each part, attention
// that is not scaled, one table of biases by distance for all layers of a stack. States are kept flat, [B·T, hidden].

export interface StackOptions {
  readonly dropout: Dropout;
  readonly padding?: Padding | undefined;
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
      const attended = selfAttention(model, place, { asked: states, states, rows, bias, causal: false });
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
      const attended = selfAttention(model, place, { asked, states, rows, bias, causal: true });
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

/** States [B·T, hidden] at the end of each row: [B, hidden]. */
function endsOf(states: Value, { batch, length }: Rows, padding: Padding | undefined): Value {
  const hidden = states.shape[1]!;
  const byRow = reshape(states, [batch, length, hidden]);
  const found = padding === undefined ? slice(byRow, 1, -1) : matMul(padding.ends, byRow);
  return reshape(found, [-1, hidden]);
}
