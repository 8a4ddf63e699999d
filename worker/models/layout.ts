import type { RobertaConfig } from "./config.ts";
import { ModelError } from "./errors.ts";

/** What layout recognition needs to know of a stored tensor. */
export interface TensorInfo {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** File of the checkpoint folder that holds it. */
  readonly file: string;
}

/**
 * How a checkpoint names its tensors: "wrapped" is the wrapper class of the EliBadCode repository (`encoder.*`,
 * `classifier.*`, one logit), "plain" is Hugging Face's `RobertaForSequenceClassification` (`roberta.*`, `classifier.*`).
 */
export type LayoutKind = "wrapped" | "plain";

export interface RobertaLayout {
  readonly kind: LayoutKind;
  /** What stands before the encoder's own names (`embeddings.…`, `encoder.layer.…`). */
  readonly prefix: string;
  /** Logits of the head. One: a sigmoid; several: a softmax. */
  readonly classes: number;
  /** Shape of every tensor that takes part in the computation, by the checkpoint's names, in a fixed order. */
  readonly weights: ReadonlyMap<string, readonly number[]>;
  /** Tensors that are there and not used: the pooler, buffers with position ids. */
  readonly unused: readonly string[];
}

const FLOATS: readonly string[] = ["float32", "float16", "bfloat16", "float64"];
const PREFIXES: Readonly<Record<LayoutKind, string>> = { wrapped: "encoder.", plain: "roberta." };

/**
 * Recognises the layout from the tensors' names and checks that exactly the tensors of the model are there.
 * Throws `ModelError` that names the tensor, what was expected and what was found.
 */
export function recogniseLayout(
  config: RobertaConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
): RobertaLayout {
  const kind = layoutKind(tensors);
  const prefix = PREFIXES[kind];
  const classes = kind === "wrapped" ? 1 : headClasses(config, tensors);
  const weights = new Map([...encoderShapes(config, prefix), ...headShapes(config, classes)]);
  for (const [name, shape] of weights) checkTensor(name, shape, tensors.get(name));
  return { kind, prefix, classes, weights, unused: unusedTensors(config, prefix, weights, tensors) };
}

/** Shapes of a whole checkpoint in the wrapped layout, the unused pooler included: what a model trained from scratch consists of. */
export function wrappedShapes(config: RobertaConfig): Map<string, readonly number[]> {
  const { hiddenSize: h } = config;
  const pooler: [string, number[]][] = [
    ["encoder.pooler.dense.weight", [h, h]],
    ["encoder.pooler.dense.bias", [h]],
  ];
  return new Map([...encoderShapes(config, PREFIXES.wrapped), ...pooler, ...headShapes(config, 1)]);
}

function layoutKind(tensors: ReadonlyMap<string, TensorInfo>): LayoutKind {
  const names = [...tensors.keys()];
  if (names.some((name) => name.startsWith("roberta."))) return "plain";
  if (names.some((name) => name.startsWith("encoder.embeddings."))) return "wrapped";
  const some = names.slice(0, 3).join(", ");
  throw new ModelError(
    [...tensors.values()][0]?.file ?? "weights",
    "tensor names",
    `expected encoder.… and classifier.…, or roberta.… and classifier.…; found ${some || "no tensor"}`,
  );
}

/** Labels of a plain head: what the configuration says (Hugging Face's default is 2), else what the tensor has. */
function headClasses(config: RobertaConfig, tensors: ReadonlyMap<string, TensorInfo>): number {
  return config.labels.length || (tensors.get("classifier.out_proj.weight")?.shape[0] ?? 2);
}

function* encoderShapes(config: RobertaConfig, prefix: string): Generator<[string, number[]]> {
  const { hiddenSize: h, intermediateSize: f } = config;
  const norm = function* (name: string): Generator<[string, number[]]> {
    yield [`${name}.weight`, [h]];
    yield [`${name}.bias`, [h]];
  };
  const dense = function* (name: string, out: number, input: number): Generator<[string, number[]]> {
    yield [`${name}.weight`, [out, input]];
    yield [`${name}.bias`, [out]];
  };
  yield [`${prefix}embeddings.word_embeddings.weight`, [config.vocabSize, h]];
  yield [`${prefix}embeddings.position_embeddings.weight`, [config.maxPositions, h]];
  yield [`${prefix}embeddings.token_type_embeddings.weight`, [config.typeVocabSize, h]];
  yield* norm(`${prefix}embeddings.LayerNorm`);
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `${prefix}encoder.layer.${layer}`;
    for (const part of ["query", "key", "value"]) yield* dense(`${at}.attention.self.${part}`, h, h);
    yield* dense(`${at}.attention.output.dense`, h, h);
    yield* norm(`${at}.attention.output.LayerNorm`);
    yield* dense(`${at}.intermediate.dense`, f, h);
    yield* dense(`${at}.output.dense`, h, f);
    yield* norm(`${at}.output.LayerNorm`);
  }
}

function headShapes({ hiddenSize: h }: RobertaConfig, classes: number): [string, number[]][] {
  return [
    ["classifier.dense.weight", [h, h]],
    ["classifier.dense.bias", [h]],
    ["classifier.out_proj.weight", [classes, h]],
    ["classifier.out_proj.bias", [classes]],
  ];
}

function checkTensor(name: string, shape: readonly number[], found: TensorInfo | undefined): void {
  const expected = `expected shape [${shape.join(", ")}]`;
  if (found === undefined) throw new ModelError("weights", name, `${expected}, but there is no such tensor`);
  if (found.shape.length !== shape.length || found.shape.some((dim, axis) => dim !== shape[axis])) {
    throw new ModelError(found.file, name, `${expected}, found [${found.shape.join(", ")}]`);
  }
  if (!FLOATS.includes(found.dtype)) {
    throw new ModelError(found.file, name, `expected one of ${FLOATS.join(", ")}, found ${found.dtype}`);
  }
}

/** Names beyond the model's own: the pooler and index buffers are known, anything else is an error. */
function unusedTensors(
  { hiddenSize: h, maxPositions }: RobertaConfig,
  prefix: string,
  weights: ReadonlyMap<string, unknown>,
  tensors: ReadonlyMap<string, TensorInfo>,
): string[] {
  const known = new Map([
    [`${prefix}pooler.dense.weight`, [h, h]],
    [`${prefix}pooler.dense.bias`, [h]],
    [`${prefix}embeddings.position_ids`, [1, maxPositions]],
    [`${prefix}embeddings.token_type_ids`, [1, maxPositions]],
  ]);
  const extra = [...tensors].filter(([name]) => !weights.has(name));
  for (const [name, { shape, file }] of extra) {
    const expected = known.get(name);
    if (expected === undefined) {
      throw new ModelError(file, name, `the model has no such tensor (shape [${shape.join(", ")}])`);
    }
    if (expected.join() !== shape.join()) {
      const found = `expected shape [${expected.join(", ")}], found [${shape.join(", ")}]`;
      throw new ModelError(file, name, found);
    }
  }
  return extra.map(([name]) => name);
}
