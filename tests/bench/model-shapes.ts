/** Models of the bench by shape: the `config.json` of each, which random weights are made for where no trained ones are at hand. */

const roberta = {
  model_type: "roberta",
  vocab_size: 50_265,
  max_position_embeddings: 514,
  type_vocab_size: 1,
  layer_norm_eps: 1e-5,
};

const layers = (hidden: number, count: number, heads: number) => ({
  hidden_size: hidden,
  num_hidden_layers: count,
  num_attention_heads: heads,
  intermediate_size: 4 * hidden,
});

export const shapes = {
  /** As the trained defect model. */
  small: { ...roberta, ...layers(64, 3, 4) },
  /** codebert-base. */
  base: { ...roberta, ...layers(768, 12, 12) },
  /** Between the two. */
  middle: { ...roberta, ...layers(256, 4, 4) },
  /** As the trained code-search model. */
  search: { ...roberta, ...layers(64, 2, 4) },
  /** As the trained clone model. */
  codet5: {
    model_type: "t5",
    vocab_size: 32_100,
    d_model: 64,
    d_kv: 16,
    d_ff: 128,
    num_layers: 2,
    num_decoder_layers: 2,
    num_heads: 4,
    pad_token_id: 0,
    eos_token_id: 2,
    decoder_start_token_id: 0,
  },
  /** StarCoder's kind of network. */
  starcoder: {
    model_type: "gpt_bigcode",
    vocab_size: 49_152,
    n_embd: 256,
    n_layer: 4,
    n_head: 4,
    n_inner: 1_024,
    n_positions: 512,
    multi_query: true,
    pad_token_id: 0,
    eos_token_id: 0,
  },
} as const;
