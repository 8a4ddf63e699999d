import type { Task } from "../../proto/operations.ts";
import type { Architecture, Initial, LayoutNames } from "./architecture.ts";
import { architectureOf } from "./architectures.ts";
import type { ModelConfig } from "./config.ts";
import { ModelError } from "./errors.ts";
import { featureSize } from "./features.ts";
import { type HeadLayout, headShapes, outWeightOf } from "./head.ts";

/** What layout recognition needs to know of a stored tensor. */
export interface TensorInfo {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** File of the checkpoint folder that holds it. */
  readonly file: string;
}

/**
 * How a checkpoint names its tensors: "wrapped" is the wrapper class of the EliBadCode repository (`encoder.*`,
 * `classifier.*`), "plain" is Hugging Face's `…ForSequenceClassification` (`roberta.*`, `classifier.*`; `transformer.*`, `score.*`).
 */
export type LayoutKind = "wrapped" | "plain";

export interface ModelLayout {
  readonly kind: LayoutKind;
  /** What stands before the network's own names. */
  readonly prefix: string;
  /** Logits of the head. One: a sigmoid; several: a softmax; 0: code search, which has no head. */
  readonly classes: number;
  /** Names of the head's tensors; absent in code search. */
  readonly head?: HeadLayout;
  /** Shape of every tensor that takes part in the computation, by the checkpoint's names, in a fixed order. */
  readonly weights: ReadonlyMap<string, readonly number[]>;
  /** Further names that the checkpoint has for some of `weights`, with the name there. */
  readonly tied: ReadonlyMap<string, string>;
  /** Tensors that are there and not used: the pooler, buffers with position ids. */
  readonly unused: readonly string[];
}

/** Types that a weight may be stored in. */
export const FLOATS: readonly string[] = ["float32", "float16", "bfloat16", "float64"];

/**
 * Recognises the layout from the tensors' names and checks that exactly the tensors of the model are there.
 * Throws `ModelError` that names the tensor, what was expected and what was found.
 */
export function recogniseLayout(
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  task: Task,
): ModelLayout {
  const architecture = architectureOf(config);
  checkTask(architecture, task);
  const { kind, prefix } = layoutNames(architecture.layouts, tensors);
  const head = task === "code_search" ? undefined : architecture.head(kind);
  const classes = head === undefined ? 0 : headClasses(kind, head, { task, config, tensors });
  const encoder = new Map(architecture.encoderShapes(config, prefix));
  const ofHead = head === undefined ? [] : headShapes(head, headSizes(config, task, classes));
  for (const [name, shape] of encoder) checkTensor(name, shape, tensors.get(name));
  for (const [name, shape] of ofHead) checkTensor(name, shape, tensors.get(name), ` for ${task}`);
  const weights = new Map<string, readonly number[]>([...encoder, ...ofHead]);
  const tied = new Map([...architecture.tiedNames(config, prefix)].filter(([name]) => tensors.has(name)));
  for (const [name, first] of tied) checkTensor(name, weights.get(first)!, tensors.get(name));
  const known = new Map(architecture.unusedShapes(config, prefix));
  const unused = unusedTensors(known, { used: [weights, tied], tensors, task });
  return { kind, prefix, classes, ...(head === undefined ? {} : { head }), weights, tied, unused };
}

/** A tensor of a checkpoint that is trained from scratch. */
export interface ScratchTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly initial: Initial;
  /** An earlier tensor that this is a further name of. */
  readonly tiedTo?: string;
}

/** The tensors of a whole checkpoint in the wrapped layout, unused ones included. */
export function scratchTensors(config: ModelConfig, task: Task): ScratchTensor[] {
  const architecture = architectureOf(config);
  checkTask(architecture, task);
  const { prefix } = architecture.layouts.find(({ kind }) => kind === "wrapped")!;
  const head =
    task === "code_search"
      ? []
      : headShapes(architecture.head("wrapped"), headSizes(config, task, WRAPPED_CLASSES[task]));
  const shapes = new Map<string, readonly number[]>([
    ...architecture.encoderShapes(config, prefix),
    ...architecture.extraShapes(config, prefix),
    ...head,
  ]);
  const tensorOf = (name: string, shape: readonly number[]): ScratchTensor => ({
    name,
    shape,
    initial: architecture.initial(config, name, shape),
  });
  return [
    ...[...shapes].map(([name, shape]) => tensorOf(name, shape)),
    ...[...architecture.tiedNames(config, prefix)].map(([name, tiedTo]) => ({
      ...tensorOf(name, shapes.get(tiedTo)!),
      tiedTo,
    })),
  ];
}

function checkTask({ name, tasks }: Pick<Architecture, "name" | "tasks">, task: Task): void {
  if (tasks.includes(task)) return;
  throw new ModelError("config.json", "model_type", `${name} is for ${tasks.join(" and ")}, not for ${task}`);
}

/** Logits of the published classes. */
const WRAPPED_CLASSES = { defect_detection: 1, clone_detection: 2 } as const;

const headSizes = (config: ModelConfig, task: Task, classes: number) => ({
  features: featureSize(task, config),
  hidden: config.hiddenSize,
  classes,
});

function layoutNames(
  layouts: readonly LayoutNames[],
  tensors: ReadonlyMap<string, TensorInfo>,
): Pick<LayoutNames, "kind" | "prefix"> {
  const names = [...tensors.keys()];
  const found = layouts.find(({ sign }) => names.some((name) => name.startsWith(sign)));
  if (found !== undefined) return found;
  const expected = layouts.map(({ sign }) => `${sign}…`).join(", or ");
  const some = names.slice(0, 3).join(", ");
  throw new ModelError(
    [...tensors.values()][0]?.file ?? "weights",
    "tensor names",
    `expected ${expected}; found ${some || "no tensor"}`,
  );
}

/** Labels of a plain head: what the configuration says (Hugging Face's default is 2), else what the tensor has. */
function headClasses(
  kind: LayoutKind,
  head: HeadLayout,
  {
    task,
    config,
    tensors,
  }: {
    readonly task: Task;
    readonly config: ModelConfig;
    readonly tensors: ReadonlyMap<string, TensorInfo>;
  },
): number {
  if (kind === "wrapped" && task !== "code_search") return WRAPPED_CLASSES[task];
  return config.labels.length || (tensors.get(outWeightOf(head))?.shape[0] ?? 2);
}

/** Throws a `ModelError` unless there is such a tensor of floats; `purpose` says in the message what the shape is expected for. */
export function checkTensor(
  name: string,
  shape: readonly number[],
  found: TensorInfo | undefined,
  purpose = "",
): void {
  const expected = `expected shape [${shape.join(", ")}]${purpose}`;
  if (found === undefined) throw new ModelError("weights", name, `${expected}, but there is no such tensor`);
  if (found.shape.length !== shape.length || found.shape.some((dim, axis) => dim !== shape[axis])) {
    throw new ModelError(found.file, name, `${expected}, found [${found.shape.join(", ")}]`);
  }
  if (!FLOATS.includes(found.dtype)) {
    throw new ModelError(found.file, name, `expected one of ${FLOATS.join(", ")}, found ${found.dtype}`);
  }
}

/** Names beyond the model's own: those that the architecture knows, anything else is an error. */
function unusedTensors(
  known: ReadonlyMap<string, readonly number[]>,
  {
    used,
    tensors,
    task,
  }: {
    readonly used: readonly ReadonlyMap<string, unknown>[];
    readonly tensors: ReadonlyMap<string, TensorInfo>;
    readonly task: Task;
  },
): string[] {
  const extra = [...tensors].filter(([name]) => !used.some((names) => names.has(name)));
  for (const [name, { shape, file }] of extra) {
    const expected = known.get(name);
    if (expected === undefined) {
      throw new ModelError(
        file,
        name,
        `a model for ${task} has no such tensor (shape [${shape.join(", ")}])`,
      );
    }
    if (expected.join() !== shape.join()) {
      const found = `expected shape [${expected.join(", ")}], found [${shape.join(", ")}]`;
      throw new ModelError(file, name, found);
    }
  }
  return extra.map(([name]) => name);
}
