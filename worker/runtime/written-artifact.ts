import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Digest, TensorMap } from "../../proto/operations.ts";
import { encodeTensors } from "../../proto/tensors.ts";

/** An artifact of a result, in a file that belongs to the receiver. */
export interface WrittenArtifact {
  /** As the result calls it. */
  readonly name: string;
  readonly path: string;
  readonly digest: Digest;
  readonly bytes: number;
}

/** Gives `work` what writes artifacts into the folder; where it fails, what it had written is removed. */
export async function withWriter<T>(
  folder: string,
  work: (write: (name: string, tensors: TensorMap) => Promise<WrittenArtifact>) => Promise<T>,
): Promise<T> {
  const written: WrittenArtifact[] = [];
  try {
    return await work(async (name, tensors) => {
      const artifact = await writeTensors(name, tensors, folder);
      written.push(artifact);
      return artifact;
    });
  } catch (error) {
    for (const { path } of written) await rm(path, { force: true });
    throw error;
  }
}

/** Writes tensors in tensor-container form: the bytes of `encodeTensors`, of which no more than a tensor is held. */
export async function writeTensors(
  name: string,
  tensors: TensorMap,
  folder: string,
): Promise<WrittenArtifact> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${name}-${randomUUID()}`);
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    const file = await open(path, "wx");
    try {
      for (const [key, tensor] of Object.entries(tensors)) {
        // Messages of a repeated field, one after the other, are the message with all of them.
        const part = encodeTensors({ [key]: tensor });
        hash.update(part);
        bytes += part.byteLength;
        await file.writeFile(part);
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  return { name, path, digest: hash.digest("hex"), bytes };
}
