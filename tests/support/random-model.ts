import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { initialWeights } from "../../coordinator/training/initial.ts";
import type { Task } from "../../proto/operations.ts";
import { packageRoot } from "../../proto/package-root.ts";
import type { NewTensor } from "../../worker/checkpoint/new-tensor.ts";
import { writeSafetensors } from "../../worker/checkpoint/write-safetensors.ts";
import { writeTorchZip } from "../../worker/checkpoint/write-torch-zip.ts";
import { scratchTensors } from "../../worker/models/layout.ts";
import { parseRobertaConfig } from "../../worker/models/roberta/config.ts";
import type { OnEnd } from "./on-end.ts";
import { tempFolder } from "./temp-folder.ts";

/** Data of the demo, which every clone has: functions, tokenizer and configuration. */
export const demoData = join(packageRoot, "coordinator", "demo", "data");

/** Configuration of the demo's model. */
export const demoConfig = parseRobertaConfig(
  JSON.parse(readFileSync(join(demoData, "config.json"), "utf8")),
  "config.json",
);

/** Random weights of the demo's shape under the published class's names, large enough that logits differ. */
export function randomTensors(task: Task = "defect_detection", seed = 7): NewTensor[] {
  const config = { ...demoConfig, initializerRange: 0.3 };
  const weights = initialWeights(scratchTensors(config, task), seed);
  return [...weights].map(([name, tensor]) => ({ name, dtype: "float32", ...tensor }));
}

/** Writes a checkpoint folder that every command accepts: weights, configuration and tokenizer. */
export async function writeRandomModel(
  folder: string,
  {
    tensors = randomTensors(),
    container = "torch-zip",
  }: { readonly tensors?: readonly NewTensor[]; readonly container?: "torch-zip" | "safetensors" } = {},
): Promise<string> {
  mkdirSync(folder, { recursive: true });
  if (container === "safetensors") await writeSafetensors(join(folder, "model.safetensors"), tensors);
  else await writeTorchZip(join(folder, "model.bin"), tensors);
  for (const file of ["config.json", "vocab.json", "merges.txt"]) {
    copyFileSync(join(demoData, file), join(folder, file));
  }
  return folder;
}

/** The same in a folder of its own, removed after the test. */
export const randomModel = (task?: Task, onEnd?: OnEnd): Promise<string> =>
  writeRandomModel(tempFolder(onEnd), { tensors: randomTensors(task) });
