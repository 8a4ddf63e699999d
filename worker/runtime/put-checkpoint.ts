import { stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { canonicalJson } from "../../proto/canonical-json.ts";
import type { CheckpointManifest, Digest, Executor, Task } from "../../proto/operations.ts";
import { ADAPTER_CONFIG, openAdapter } from "../checkpoint/open-adapter.ts";
import { openCheckpoint } from "../checkpoint/open-checkpoint.ts";

/** Files that do not lie in the checkpoint folder itself. */
export interface OtherFiles {
  readonly configFile?: string;
  /** Folder of a LoRA adapter over the checkpoint. */
  readonly adapter?: string;
}

/**
 * Makes a checkpoint folder available to operations and returns the digest of its manifest: `config.json`, the weight files and
 * their index; an adapter's configuration and weights beside them.
 */
export async function putCheckpoint(
  executor: Executor,
  folder: string,
  task: Task,
  { configFile = join(folder, "config.json"), adapter }: OtherFiles = {},
): Promise<Digest> {
  const { files, index } = await openCheckpoint(folder);
  const paths = new Map([...files, ...(index ? [index] : [])].map((path) => [basename(path), path]));
  paths.set("config.json", configFile);
  if (adapter !== undefined) {
    for (const path of [join(adapter, ADAPTER_CONFIG), ...(await openAdapter(adapter)).files]) {
      paths.set(basename(path), path);
    }
  }
  const named: CheckpointManifest["files"][number][] = [];
  for (const [name, path] of [...paths].sort(([a], [b]) => (a < b ? -1 : 1))) {
    named.push({ name, digest: await executor.putFile(path), bytes: (await stat(path)).size });
  }
  const manifest: CheckpointManifest = { task, files: named };
  return executor.putArtifact(Buffer.from(canonicalJson(manifest)));
}
