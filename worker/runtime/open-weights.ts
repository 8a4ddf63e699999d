import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ADAPTER_CONFIG, openAdapter } from "../checkpoint/open-adapter.ts";
import { openCheckpoint } from "../checkpoint/open-checkpoint.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint/tensor-entry.ts";
import { type Lora, loraOver } from "../models/lora.ts";
import { type LoraConfig, parseLoraConfig } from "../models/lora-config.ts";

/** A checkpoint, and what a LoRA adapter over it changes. */
export interface OpenedWeights {
  readonly checkpoint: Checkpoint;
  readonly adapter?: OpenedAdapter;
  /** The checkpoint's tensors, with those that the adapter brings along in place of its own; updates are not in them. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

export interface OpenedAdapter extends Lora<TensorEntry> {
  readonly config: LoraConfig;
  readonly weights: Checkpoint;
}

/** Opens a checkpoint folder, and an adapter folder over it, which may be the same. */
export async function openWeights(folder: string, adapterFolder?: string): Promise<OpenedWeights> {
  const checkpoint = await openCheckpoint(folder);
  if (adapterFolder === undefined) return { checkpoint, tensors: checkpoint.tensors };
  const file = join(adapterFolder, ADAPTER_CONFIG);
  const config = parseLoraConfig(await readFile(file, "utf8"), file);
  const weights = await openAdapter(adapterFolder);
  const lora = loraOver(config, weights.tensors, checkpoint);
  const tensors = new Map([...checkpoint.tensors, ...lora.saved]);
  return { checkpoint, adapter: { ...lora, config, weights }, tensors };
}
