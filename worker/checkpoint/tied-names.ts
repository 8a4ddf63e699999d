import { createHash } from "node:crypto";
import { withFile } from "./byte-file.ts";
import { CheckpointError, quoted } from "./checkpoint-error.ts";
import { placeOf } from "./new-tensor.ts";
import type { TensorEntry } from "./tensor-entry.ts";
import { chunks } from "./verify-weights.ts";

/**
 * Checks that names of one tensor (`tied`: further name → first name) hold the same bytes. Mostly they lie in one place, and nothing
 * is read. Throws a `CheckpointError` where they differ: PyTorch would take whichever it loads last.
 */
export async function checkTiedNames(
  tensors: ReadonlyMap<string, TensorEntry>,
  tied: ReadonlyMap<string, string>,
): Promise<void> {
  for (const [name, first] of tied) {
    const [own, other] = [tensors.get(name)!, tensors.get(first)!];
    if (placeOf(own) === placeOf(other)) continue;
    if (own.dtype === other.dtype && (await digestOfTensor(own)) === (await digestOfTensor(other))) continue;
    throw new CheckpointError(
      own.file,
      `tensor ${quoted(name)}`,
      `differs from ${quoted(first)}, and the model has one tensor under both names`,
    );
  }
}

function digestOfTensor({ name, file, offset, byteLength }: TensorEntry): Promise<string> {
  return withFile(file, async (opened) => {
    const hash = createHash("sha256");
    for await (const chunk of chunks(opened, offset, byteLength, `tensor ${quoted(name)}`))
      hash.update(chunk);
    return hash.digest("hex");
  });
}
