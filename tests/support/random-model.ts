import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { initialWeights } from "../../coordinator/training/initial.ts";
import { packageRoot } from "../../proto/package-root.ts";
import { writeTorchZip } from "../../worker/checkpoint/write-torch-zip.ts";
import { parseConfig } from "../../worker/models/config.ts";
import { wrappedShapes } from "../../worker/models/layout.ts";
import { tempFolder } from "./temp-folder.ts";

/** Data of the demo, which every clone has: functions, tokenizer and configuration. */
export const demoData = join(packageRoot, "coordinator", "demo", "data");

/** A RoBERTa of the demo's shape with random weights, large enough that logits differ; removed after the test. */
export async function randomModel(): Promise<string> {
  const folder = tempFolder();
  const config = parseConfig(readFileSync(join(demoData, "config.json"), "utf8"));
  const weights = initialWeights(wrappedShapes(config), { range: 0.3, padId: config.padId, seed: 7 });
  const tensors = [...weights].map(([name, tensor]) => ({ name, dtype: "float32" as const, ...tensor }));
  await writeTorchZip(join(folder, "model.bin"), tensors);
  copyFileSync(join(demoData, "config.json"), join(folder, "config.json"));
  return folder;
}
