import { expect, test } from "vitest";
import { longestRow, parseConfig } from "../../../worker/models/config.ts";

/** What StarCoder's own configuration says of the network. */
const starcoder = {
  model_type: "gpt_bigcode",
  activation_function: "gelu",
  n_embd: 48,
  n_head: 4,
  n_inner: 96,
  n_layer: 2,
  n_positions: 256,
  vocab_size: 430,
  eos_token_id: 0,
  attention_softmax_in_fp32: true,
  scale_attention_softmax_in_fp32: true,
  summary_type: "cls_index",
  pre_allocate_kv_cache: false,
};
const parse = (changes: object) => parseConfig(JSON.stringify({ ...starcoder, ...changes }));

test("padding that the file does not name is the end id, as the published scripts set it", () => {
  expect(parse({}).padId).toBe(0);
  expect(parse({ pad_token_id: 7 }).padId).toBe(7);
});

test("what the file leaves out is Hugging Face's default", () => {
  const { n_inner: _, activation_function: __, ...rest } = starcoder;
  expect(parseConfig(JSON.stringify(rest))).toMatchObject({
    intermediateSize: 192,
    activation: "gelu tanh",
    layerNormEps: 1e-5,
    multiQuery: true,
    scoreScale: 1 / Math.sqrt(12),
  });
  expect(parse({ n_inner: null })).toMatchObject({ intermediateSize: 192, activation: "gelu" });
});

test("scores are unscaled only where the file says so, and the softmax's type changes nothing", () => {
  expect(parse({ scale_attn_weights: false })).toMatchObject({ scoreScale: 1 });
  const half = { attention_softmax_in_fp32: false, scale_attention_softmax_in_fp32: false };
  expect(parse(half)).toEqual(parse({}));
});

test("the longest row is what has positions", () => {
  expect(longestRow(parse({}))).toEqual({ tokens: 256, because: "n_positions 256" });
});

test.each([
  [{ activation_function: "silu" }, /config\.json: activation_function: found "silu"/],
  [{ n_head: 5 }, "n_head: 5 does not divide n_embd 48"],
  [{ n_embd: undefined }, "config.json: n_embd: missing"],
  [{ eos_token_id: undefined }, "pad_token_id: missing, and so is eos_token_id"],
  [{ pad_token_id: 430 }, "pad_token_id: 430 is no id below vocab_size 430"],
  [{ num_key_value_heads: 4 }, "num_key_value_heads: 4, but multi_query true makes it 1"],
  [{ add_cross_attention: true }, /add_cross_attention: found true/],
  [{ n_headd: 4 }, "config.json: n_headd: unknown key (value 4); did you mean 'n_head'?"],
])("%j is refused with file, key and value", (changes, message) => {
  expect(() => parse(changes)).toThrow(message);
});
