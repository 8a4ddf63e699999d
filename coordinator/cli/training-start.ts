import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import type { Task } from "../../proto/operations.ts";
import type { NewTensor } from "../../worker/checkpoint/new-tensor.ts";
import { isAdapter } from "../../worker/checkpoint/open-adapter.ts";
import type { TensorEntry } from "../../worker/checkpoint/tensor-entry.ts";
import { checkTiedNames } from "../../worker/checkpoint/tied-names.ts";
import { verifyWeights } from "../../worker/checkpoint/verify-weights.ts";
import { writeSafetensors } from "../../worker/checkpoint/write-safetensors.ts";
import { writeTorchZip } from "../../worker/checkpoint/write-torch-zip.ts";
import { type ModelConfig, parseConfig } from "../../worker/models/config.ts";
import { ModelError } from "../../worker/models/errors.ts";
import { recogniseLayout, scratchTensors } from "../../worker/models/layout.ts";
import { pretrainedEncoder } from "../../worker/models/pretrained.ts";
import { openWeights } from "../../worker/runtime/open-weights.ts";
import { initialWeights } from "../training/initial.ts";
import { readInputFile } from "./input-file.ts";
import { requireFolder } from "./named-paths.ts";
import type { ModelOptions } from "./open-model.ts";
import { copyTokenizer } from "./write-model.ts";

/** A model that is made before it is trained: random weights, or a pretrained encoder's with a random head. */
export interface NewModel {
  readonly configFile: string;
  readonly config: ModelConfig;
  /** The encoder's tensors by the new model's names; absent: all weights are drawn. */
  readonly encoder?: ReadonlyMap<string, TensorEntry>;
}

type Start = Pick<ModelOptions, "model" | "base" | "task">;

/**
 * A checkpoint without any task's head, as pretraining leaves it; undefined for any other. Every weight of it is read once.
 *
 * @throws InputError, CheckpointError or ModelError with file, field and value
 */
export async function openPretrained({ model, base, task }: Start): Promise<NewModel | undefined> {
  requireFolder("--model", model);
  if (isAdapter(model)) return undefined;
  const configFile = [model, base ?? model]
    .map((folder) => join(folder, "config.json"))
    .find((file) => existsSync(file));
  if (configFile === undefined) return undefined;
  const { checkpoint, tensors } = await openWeights(model);
  const config = parseConfig(readInputFile("", configFile), configFile);
  if (isModelOf(task, config, tensors)) return undefined;
  const encoder = pretrainedEncoder(config, tensors);
  if (encoder === undefined) return undefined;
  await verifyWeights(checkpoint);
  await checkTiedNames(tensors, encoder.tied);
  const entries = [...encoder.names].map(([name, source]) => [name, tensors.get(source)!] as const);
  return { configFile, config, encoder: new Map(entries) };
}

function isModelOf(task: Task, config: ModelConfig, tensors: ReadonlyMap<string, TensorEntry>): boolean {
  try {
    return recogniseLayout(config, tensors, task) !== undefined;
  } catch (error) {
    if (error instanceof ModelError) return false;
    throw error;
  }
}

/**
 * Writes the folder that training starts from: the wrapped layout, with the tensors that the published class expects besides,
 * configuration and tokenizer. An encoder's weights keep their dtype; what no encoder gives is drawn from `seed`.
 */
export async function writeNewModel(
  { configFile, config, encoder = new Map() }: NewModel,
  folder: string,
  {
    seed,
    format,
    ...from
  }: Pick<ModelOptions, "model" | "base" | "task"> & {
    readonly seed: number;
    readonly format: "torch-zip" | "safetensors";
  },
): Promise<void> {
  const all = scratchTensors(config, from.task);
  const drawn = initialWeights(
    all.filter(({ name, tiedTo }) => !encoder.has(tiedTo ?? name)),
    seed,
  );
  const tensors = all.map(({ name, shape, tiedTo }): NewTensor => {
    const source = encoder.get(tiedTo ?? name);
    if (source !== undefined) return { name, dtype: source.dtype, shape, data: source };
    return { name, dtype: "float32", shape, data: drawn.get(name)!.data };
  });
  if (format === "safetensors") await writeSafetensors(join(folder, "model.safetensors"), tensors);
  else await writeTorchZip(join(folder, "model.bin"), tensors);
  copyFileSync(configFile, join(folder, "config.json"));
  copyTokenizer(from, folder);
}
