import { describe, expect, test } from "vitest";
import type { TensorInfo } from "../../../worker/models/layout.ts";
import { loraOver } from "../../../worker/models/lora.ts";
import { parseLoraConfig } from "../../../worker/models/lora-config.ts";

const json = {
  peft_type: "LORA",
  r: 2,
  lora_alpha: 8,
  target_modules: ["c_attn"],
  bias: "none",
  base_model_name_or_path: "bigcode/starcoderbase-1b",
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  lora_dropout: 0.05,
  modules_to_save: null,
  task_type: "SEQ_CLS",
};
const parse = (changes: object = {}) =>
  parseLoraConfig(JSON.stringify({ ...json, ...changes }), "adapter_config.json");

const tensors = (file: string, shapes: Readonly<Record<string, readonly number[]>>) =>
  new Map(
    Object.entries(shapes).map(([name, shape]): [string, TensorInfo] => [
      name,
      { shape, dtype: "float32", file },
    ]),
  );

const layer = (index: number) => `transformer.h.${index}.attn.c_attn`;
const base = (prefix = "") => ({
  folder: "starcoder-7b",
  tensors: tensors("model.safetensors", {
    [`${prefix}transformer.wte.weight`]: [10, 4],
    [`${prefix}${layer(0)}.weight`]: [6, 4],
    [`${prefix}${layer(0)}.bias`]: [6],
    [`${prefix}${layer(1)}.weight`]: [6, 4],
    [`${prefix}score.weight`]: [1, 4],
  }),
});

/** An adapter for the base above, with changes; a null takes a tensor out. */
function adapter(changes: Readonly<Record<string, readonly number[] | null>> = {}) {
  const shapes = {
    [`base_model.model.${layer(0)}.lora_A.weight`]: [2, 4],
    [`base_model.model.${layer(0)}.lora_B.weight`]: [6, 2],
    [`base_model.model.${layer(1)}.lora_A.weight`]: [2, 4],
    [`base_model.model.${layer(1)}.lora_B.weight`]: [6, 2],
    ...changes,
  };
  const kept = Object.entries(shapes).filter((entry): entry is [string, number[]] => entry[1] !== null);
  return tensors("adapter_model.bin", Object.fromEntries(kept));
}

describe("adapter_config.json", () => {
  test("the update is scaled with α ÷ r, and with α ÷ √r where the file says so", () => {
    expect(parse()).toEqual({
      file: "adapter_config.json",
      rank: 2,
      scale: 4,
      targets: ["c_attn"],
      saved: [],
      base: "bigcode/starcoderbase-1b",
    });
    expect(parse({ use_rslora: true, r: 4 }).scale).toBe(4);
  });

  test("keys that are not known and switched off change nothing", () => {
    const off = { use_dora: false, rank_pattern: {}, alpha_pattern: {}, layers_to_transform: null };
    expect(parse({ ...off, loftq_config: {}, megatron_core: "megatron.core" })).toEqual(parse());
  });

  test("every key that PEFT 0.19 writes without being asked to is taken", () => {
    const written = {
      ...{ alpha_pattern: {}, arrow_config: null, auto_mapping: null, corda_config: null, eva_config: null },
      ...{ alora_invocation_tokens: null, ensure_weight_tying: false, exclude_modules: null },
      ...{ layer_replication: null, layers_pattern: null, layers_to_transform: null, loftq_config: {} },
      ...{ lora_bias: false, lora_ga_config: null, megatron_config: null, megatron_core: "megatron.core" },
      ...{ peft_version: "0.19.1", qalora_group_size: 16, rank_pattern: {}, revision: null },
      ...{ target_parameters: null, trainable_token_indices: null },
      ...{ use_bdlora: null, use_dora: false, use_qalora: false, use_rslora: false },
    };
    expect(parse(written)).toEqual(parse());
  });

  test("fan_in_fan_out changes nothing, since PEFT turns it off for linear layers", () => {
    expect(parse({ fan_in_fan_out: true })).toEqual(parse());
  });

  test("a pattern in place of a list leaves the layers to the weights", () => {
    const { targets, ...rest } = parse();
    expect(targets).toEqual(["c_attn"]);
    expect(parse({ target_modules: ".*\\.attn\\.c_attn" })).toEqual(rest);
    expect(parse({ target_modules: "all-linear" })).toEqual(rest);
    expect(parse({ exclude_modules: ["c_proj"] })).toEqual(rest);
  });

  test.each([
    [{ peft_type: "PREFIX_TUNING" }, /adapter_config\.json: peft_type: found "PREFIX_TUNING"/],
    [{ r: 0 }, /adapter_config\.json: r: found 0/],
    [{ lora_alpha: undefined }, "adapter_config.json: lora_alpha: missing"],
    [{ bias: "all" }, /adapter_config\.json: bias: found "all"/],
    [{ bias: "lora_only" }, /adapter_config\.json: bias: found "lora_only"/],
    [{ target_modules: 3 }, /adapter_config\.json: target_modules: found 3/],
    [{ modules_to_save: "score" }, /adapter_config\.json: modules_to_save: found "score"/],
    [{ use_rslora: "yes" }, /adapter_config\.json: use_rslora: found "yes"/],
    [{ use_qalora: true, qalora_group_size: 8 }, "use_qalora: not supported (value true)"],
    [{ lora_bias: true }, "lora_bias: not supported (value true)"],
    [{ target_parameters: ["w"] }, 'target_parameters: not supported (value ["w"])'],
    [{ use_dora: true }, "adapter_config.json: use_dora: not supported (value true)"],
    [{ rank_pattern: { c_attn: 8 } }, 'rank_pattern: not supported (value {"c_attn":8})'],
    [{ layers_to_transform: [0] }, "layers_to_transform: not supported (value [0])"],
    [{ init_lora_weights: "pissa" }, /init_lora_weights: found "pissa"/],
    [{ some_day: 1 }, "some_day: not supported (value 1)"],
  ])("%j is refused with file, key and value", (changes, message) => {
    expect(() => parse(changes)).toThrow(message);
  });
});

describe("an adapter over its base", () => {
  test("updates the layers that it has both halves for", () => {
    const { updates, saved, prefix } = loraOver(parse(), adapter(), base());

    expect([...updates.keys()]).toEqual([`${layer(0)}.weight`, `${layer(1)}.weight`]);
    expect(updates.get(`${layer(0)}.weight`)).toMatchObject({
      a: { shape: [2, 4] },
      b: { shape: [6, 2] },
      scale: 4,
    });
    expect([prefix, saved.size]).toEqual(["", 0]);
  });

  test("of the network in a published wrapper has the wrapper's names", () => {
    const { updates, prefix } = loraOver(parse(), adapter(), base("encoder."));

    expect(prefix).toBe("encoder.");
    expect([...updates.keys()]).toEqual([`encoder.${layer(0)}.weight`, `encoder.${layer(1)}.weight`]);
  });

  test("brings along the head that it saves, also one that its base lacks", () => {
    const headless = base();
    headless.tensors.delete("score.weight");
    const head = { "base_model.model.score.weight": [2, 4] };

    for (const config of [parse({ modules_to_save: ["score"] }), parse()]) {
      const { saved } = loraOver(config, adapter(head), headless);
      expect([...saved]).toEqual([["score.weight", expect.objectContaining({ shape: [2, 4] })]]);
    }
  });

  const a = `base_model.model.${layer(0)}.lora_A.weight`;
  const b = `base_model.model.${layer(0)}.lora_B.weight`;
  test.each([
    [
      "another base's width",
      { [a]: [2, 8] },
      `adapter_model.bin: ${a}: expected shape [2, 4] for r 2 over a base weight of [6, 4], found [2, 8]; is it an adapter for another base? (it was made for 'bigcode/starcoderbase-1b'; the base is starcoder-7b)`,
    ],
    ["another rank", { [b]: [6, 3] }, `adapter_model.bin: ${b}: expected shape [6, 2] for r 2`],
    ["half an update", { [b]: null }, `adapter_model.bin: ${b}: the other half of the update has none`],
    [
      "a layer that the base lacks",
      {
        "base_model.model.transformer.h.7.attn.c_attn.lora_A.weight": [2, 4],
        "base_model.model.transformer.h.7.attn.c_attn.lora_B.weight": [6, 2],
      },
      "the base has no layer transformer.h.7.attn.c_attn; is it an adapter for another base?",
    ],
    [
      "too few layers",
      { [a]: null, [b]: null },
      `adapter_config.json: target_modules: c_attn takes in ${layer(0)} of the base, for which there is no update`,
    ],
    [
      "a layer beside its targets",
      {
        "base_model.model.score.lora_A.weight": [2, 4],
        "base_model.model.score.lora_B.weight": [1, 2],
      },
      "target_modules: c_attn leaves out score, for which there is an update",
    ],
    [
      "an update of a table",
      { "base_model.model.transformer.wte.lora_embedding_A": [2, 10] },
      "base_model.model.transformer.wte.lora_embedding_A: neither half of a linear layer's update",
    ],
  ])("with %s is refused by the tensor's name", (_what, changes, message) => {
    expect(() => loraOver(parse(), adapter(changes), base())).toThrow(message);
  });

  test("without any update is refused", () => {
    const head = tensors("adapter_model.bin", { "base_model.model.score.weight": [1, 4] });

    expect(() => loraOver(parse(), head, base())).toThrow(
      "adapter_model.bin: tensor names: expected base_model.model.….lora_A.weight; found only score.weight",
    );
    expect(() => loraOver(parse(), new Map(), base())).toThrow("adapter_config.json: tensor names: expected");
  });

  test("that says to bring a head along and does not is refused", () => {
    // PEFT lists both names for a classifier, whichever the model has.
    const config = parse({ modules_to_save: ["classifier", "score"] });

    for (const prefix of ["", "encoder."]) {
      expect(() => loraOver(config, adapter(), base(prefix))).toThrow(
        "adapter_config.json: modules_to_save: score: the adapter brings no score.weight along, which the base has",
      );
    }
    const head = { "base_model.model.score.weight": [1, 4] };
    expect([...loraOver(config, adapter(head), base()).saved.keys()]).toEqual(["score.weight"]);
  });

  test("whose numbers are no floats is refused", () => {
    const wrong = adapter();
    wrong.set(a, { shape: [2, 4], dtype: "int8", file: "adapter_model.bin" });

    expect(() => loraOver(parse(), wrong, base())).toThrow(`${a}: expected one of float32`);
  });
});
