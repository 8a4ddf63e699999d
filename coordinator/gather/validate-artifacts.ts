import type { Digest, Operation } from "../../proto/operations.ts";
import type { ArtifactStore } from "../dispatch/artifact-store.ts";
import type { ResultUploads } from "../dispatch/result-uploads.ts";

/** What the state of a training run consists of. */
const STATE = ["weights", "means", "squares"] as const;

/** What is wrong with the artifacts that a result names, or undefined. */
export function findArtifactFault(
  { kind }: Operation,
  artifacts: Readonly<Record<string, Digest>> = {},
): string | undefined {
  const expected: readonly string[] = kind === "train-run" ? STATE : [];
  const missing = expected.find((name) => artifacts[name] === undefined);
  if (missing !== undefined) return `artifact '${missing}' is missing`;
  const odd = Object.keys(artifacts).find((name) => !expected.includes(name));
  return odd === undefined ? undefined : `artifact '${odd}' was not asked for`;
}

/**
 * The artifacts of a state hold the same tensors as the weights that the segment began with, so all of them have as many bytes: what can be
 * said of them without reading a model three times. Whoever goes on from the state reads it and checks names and shapes.
 */
export async function findStateFault(
  operation: Operation,
  artifacts: Readonly<Record<string, Digest>>,
  store: Pick<ArtifactStore, "find"> & { readonly uploads: Pick<ResultUploads, "bytes"> },
): Promise<string | undefined> {
  if (operation.kind !== "train-run") return undefined;
  const expected = (await store.find(operation.state.weights))?.bytes;
  for (const [name, digest] of Object.entries(artifacts)) {
    const bytes = await store.uploads.bytes(digest);
    if (bytes === undefined) return `artifact '${name}' was not uploaded`;
    if (bytes !== expected) return `artifact '${name}' has ${bytes} bytes instead of ${expected}`;
  }
  return undefined;
}
