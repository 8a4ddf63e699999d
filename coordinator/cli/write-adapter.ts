import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type NewTensor, tensorsToWrite } from "../../worker/checkpoint/new-tensor.ts";
import { ADAPTER_CONFIG } from "../../worker/checkpoint/open-adapter.ts";
import { writeSafetensors } from "../../worker/checkpoint/write-safetensors.ts";
import { writeTorchZip } from "../../worker/checkpoint/write-torch-zip.ts";
import { ADAPTER_PREFIX } from "../../worker/models/lora.ts";
import { headNames } from "../training/head.ts";
import type { OpenedModel } from "./open-model.ts";
import { readWeight } from "./trainable-weights.ts";

/**
 * New values of the head over an adapter, by the checkpoint's names. Undefined where the model is no adapter, where more than the head
 * changed, where the head is not part of the network that the adapter is of, or where adapter and base are one folder.
 */
export async function headOfAdapter(
  opened: OpenedModel,
  changed: ReadonlyMap<string, Float32Array>,
): Promise<ReadonlyMap<string, Float32Array> | undefined> {
  const { adapter, checkpoint, layout } = opened;
  if (adapter === undefined || layout.head === undefined) return undefined;
  if (adapter.weights.folder === checkpoint.folder) return undefined;
  const names = headNames(layout.head);
  if (names.some((name) => !name.startsWith(adapter.prefix) || adapter.updates.has(name))) return undefined;
  for (const [name, values] of changed) {
    if (!names.includes(name) && !equal(values, await readWeight(opened, name))) return undefined;
  }
  return new Map([...changed].filter(([name]) => names.includes(name)));
}

const equal = (a: Float32Array, b: Float32Array): boolean =>
  a.length === b.length && a.every((value, at) => value === b[at]);

/** Writes an adapter with another head, as PEFT saves one that `modules_to_save` names. */
export async function writeAdapter(
  { adapter, tensors }: OpenedModel,
  head: ReadonlyMap<string, Float32Array>,
  folder: string,
): Promise<void> {
  const { weights, prefix, config: source } = adapter!;
  const inside = [...head].map(([name, data]): NewTensor => {
    const { dtype, shape } = tensors.get(name)!;
    return { name: `${ADAPTER_PREFIX}${name.slice(prefix.length)}`, dtype, shape, data };
  });
  const names = new Set(inside.map(({ name }) => name));
  const kept = tensorsToWrite(weights).filter(({ name }) => !names.has(name));
  const write = weights.container === "safetensors" ? writeSafetensors : writeTorchZip;
  await write(join(folder, basename(weights.files[0]!)), [...kept, ...inside]);

  const config = JSON.parse(readFileSync(source.file, "utf8")) as { modules_to_save?: string[] | null };
  const modules = [...head.keys()].map((name) => name.slice(prefix.length).split(".")[0]!);
  const modules_to_save = [...new Set([...(config.modules_to_save ?? []), ...modules])];
  writeFileSync(join(folder, ADAPTER_CONFIG), `${JSON.stringify({ ...config, modules_to_save }, null, 2)}\n`);
}
