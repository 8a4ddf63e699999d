import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { initialWeights } from "../../coordinator/training/initial.ts";
import { packageRoot } from "../../proto/package-root.ts";
import type { NewTensor } from "../../worker/checkpoint/new-tensor.ts";
import { writeSafetensors } from "../../worker/checkpoint/write-safetensors.ts";
import { writeTorchZip } from "../../worker/checkpoint/write-torch-zip.ts";
import { parseConfig } from "../../worker/models/config.ts";
import { wrappedShapes } from "../../worker/models/layout.ts";

/** A file of the demo's data, which every checkout has: config, tokenizer and rows of a small RoBERTa. */
export const demoFile = (name: string): string => join(packageRoot, "coordinator/demo/data", name);

/** Tensors of the demo's model with random weights, as the published class names them. */
export function smallTensors(seed = 1): NewTensor[] {
  const config = parseConfig(readFileSync(demoFile("config.json"), "utf8"));
  const weights = initialWeights(wrappedShapes(config), { range: 0.1, padId: config.padId, seed });
  return [...weights].map(([name, { shape, data }]) => ({ name, dtype: "float32", shape, data }));
}

/** A checkpoint folder that commands accept: `model.bin` (or `model.safetensors`), config and tokenizer. */
export async function writeSmallModel(
  folder: string,
  {
    tensors = smallTensors(),
    safetensors = false,
  }: { tensors?: readonly NewTensor[]; safetensors?: boolean } = {},
): Promise<string> {
  mkdirSync(folder, { recursive: true });
  if (safetensors) await writeSafetensors(join(folder, "model.safetensors"), tensors);
  else await writeTorchZip(join(folder, "model.bin"), tensors);
  for (const file of ["config.json", "vocab.json", "merges.txt"])
    copyFileSync(demoFile(file), join(folder, file));
  return folder;
}
