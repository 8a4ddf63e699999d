import { architectureOf } from "./architectures.ts";
import type { ModelConfig } from "./config.ts";
import { checkTensor, type TensorInfo } from "./layout.ts";

/** An encoder as pretraining leaves it, by the names of a checkpoint that has no head for any task. */
export interface PretrainedEncoder {
  /** Names in the wrapped layout, which a new model gets, with the checkpoint's names of the same tensors. */
  readonly names: ReadonlyMap<string, string>;
  /** Further names that the checkpoint has for some of them, with the first name there. */
  readonly tied: ReadonlyMap<string, string>;
}

/** Names that only a head of a task has, in any layout. */
const HEADS: readonly string[] = ["classifier.", "score."];

/**
 * The encoder in a checkpoint that Hugging Face saved without a task: under its own names (`embeddings.…`, `shared.weight`), or behind a
 * language model's prefix (`roberta.…`, `transformer.…`), whose output layer is left aside. Undefined where the tensors are not such a checkpoint's.
 *
 * @throws ModelError naming a tensor of it that is missing or has another shape
 */
export function pretrainedEncoder(
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
): PretrainedEncoder | undefined {
  const architecture = architectureOf(config);
  if ([...tensors.keys()].some((name) => HEADS.some((head) => name.startsWith(head)))) return undefined;
  const wrapped = architecture.layouts.find(({ kind }) => kind === "wrapped")!.prefix;
  const plain = architecture.layouts.filter(({ kind }) => kind === "plain");
  for (const prefix of ["", ...plain.map((layout) => layout.prefix)]) {
    const shapes = [...architecture.encoderShapes(config, prefix)];
    if (!tensors.has(shapes[0]![0])) continue;
    const extra = [...architecture.extraShapes(config, prefix)].filter(([name]) => tensors.has(name));
    const all = [...shapes, ...extra];
    for (const [name, shape] of all) checkTensor(name, shape, tensors.get(name));
    const tied = new Map([...architecture.tiedNames(config, prefix)].filter(([name]) => tensors.has(name)));
    for (const [name, first] of tied) checkTensor(name, tensors.get(first)!.shape, tensors.get(name));
    return {
      names: new Map(all.map(([name]) => [`${wrapped}${name.slice(prefix.length)}`, name])),
      tied,
    };
  }
  return undefined;
}
