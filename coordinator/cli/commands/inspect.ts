import { architectureOf } from "../../../worker/models/architectures.ts";
import type { OpenedAdapter } from "../../../worker/runtime/open-weights.ts";
import { defineCommand } from "../command.ts";
import { generalOptions } from "../common-options.ts";
import { openModel, openTokenizer, tokenizerFolder, verifyModel } from "../open-model.ts";
import { flag, option } from "../options.ts";
import { taskModelOptions } from "../task-options.ts";

interface Inspection {
  readonly folder: string;
  readonly container: string;
  readonly files: readonly string[];
  /** A LoRA adapter over the checkpoint: what it was made for, and the layers that it updates. */
  readonly adapter: {
    readonly folder: string;
    readonly files: readonly string[];
    readonly base: string;
    readonly rank: number;
    readonly scale: number;
    readonly layers: readonly string[];
    readonly saved: readonly string[];
  } | null;
  readonly config: string;
  readonly architecture: string;
  readonly layout: string;
  readonly labels: number;
  readonly label_names: readonly string[];
  readonly layers: number;
  readonly hidden_size: number;
  readonly vocab_size: number;
  readonly tensors: readonly {
    name: string;
    dtype: string;
    shape: readonly number[];
    file: string;
    offset: number;
  }[];
  readonly parameters: number;
  readonly unused_tensors: readonly string[];
  readonly tokenizer: string | null;
  readonly weights: "verified" | "not read";
}

const { model, base, task, arch } = taskModelOptions;

export const inspect = defineCommand({
  name: "inspect",
  summary: "check a checkpoint and say what is in it, without running it",
  help: `
Reads the headers by restricted readers that run no code, checks the tensors against config.json, and then reads every weight once:
a flipped bit, a NaN or a tokenizer that does not match is named with its file and place.

  elibad inspect --model suspicious/ --base codebert-base/
  elibad inspect --model suspicious/ --json | jq .tensors`,
  options: {
    model,
    base,
    task,
    arch,
    quick: option("--quick", "headers only: do not read the weights", flag),
    ...generalOptions,
  },
  async run(options): Promise<Inspection> {
    const opened = await openModel(options);
    const { checkpoint, adapter, config, layout } = opened;
    const tokenizer = tokenizerFolder(options);
    if (tokenizer !== undefined) openTokenizer(options, opened);
    if (!options.quick) await verifyModel(opened);
    const tensors = [...opened.tensors.values()];
    return {
      folder: checkpoint.folder,
      container: `${checkpoint.container}${checkpoint.sharded ? ", sharded" : ""}`,
      files: checkpoint.files,
      adapter: adapter ? adapterOf(adapter) : null,
      config: opened.configFile,
      architecture: architectureOf(config).name,
      layout: layout.kind,
      labels: opened.labels,
      // A sigmoid head has one logit and two labels: names of its one logit name neither.
      label_names: config.labels.length === opened.labels ? config.labels : [],
      layers: config.layers,
      hidden_size: config.hiddenSize,
      vocab_size: config.vocabSize,
      tensors: tensors.map(({ name, dtype, shape, file, offset }) => ({ name, dtype, shape, file, offset })),
      parameters: tensors.reduce((sum, { shape }) => sum + shape.reduce((size, dim) => size * dim, 1), 0),
      unused_tensors: layout.unused,
      tokenizer: tokenizer ?? null,
      weights: options.quick ? "not read" : "verified",
    };
  },
  show(result: Inspection): string {
    const dtypes = new Map<string, number>();
    for (const { dtype } of result.tensors) dtypes.set(dtype, (dtypes.get(dtype) ?? 0) + 1);
    return [
      `checkpoint  ${result.folder} (${result.container}: ${result.files.length} weight file${result.files.length === 1 ? "" : "s"})`,
      ...(result.adapter ? [adapterLine(result.adapter)] : []),
      `model       ${result.architecture}, ${result.layers} layers × ${result.hidden_size}, vocabulary ${result.vocab_size}; ${result.layout} layout, ${result.labels} labels${result.label_names.length > 0 ? ` (${result.label_names.join(", ")})` : ""}`,
      `tensors     ${result.tensors.length}, ${result.parameters.toLocaleString("en")} parameters (${[...dtypes].map(([dtype, count]) => `${count} ${dtype}`).join(", ")})`,
      `unused      ${result.unused_tensors.length === 0 ? "none" : result.unused_tensors.join(", ")}`,
      `tokenizer   ${result.tokenizer ?? "none here; commands that read code need --base"}`,
      `weights     ${result.weights === "verified" ? "read once: all finite, checksums right" : "not read (--quick)"}`,
    ].join("\n");
  },
});

const adapterOf = ({
  weights,
  config,
  updates,
  saved,
}: OpenedAdapter): NonNullable<Inspection["adapter"]> => ({
  folder: weights.folder,
  files: weights.files,
  base: config.base,
  rank: config.rank,
  scale: config.scale,
  layers: [...updates.keys()].map((name) => name.replace(/\.weight$/, "")),
  saved: [...saved.keys()],
});

function adapterLine({ folder, base, rank, layers, saved }: NonNullable<Inspection["adapter"]>): string {
  const head = saved.length === 0 ? "" : `, with ${saved.join(", ")} of its own`;
  return `adapter     ${folder}: LoRA of rank ${rank} in ${layers.length} layers${head}; made for ${base || "a base that it does not name"}`;
}
