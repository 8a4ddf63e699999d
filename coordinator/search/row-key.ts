import { createHash } from "node:crypto";
import type { Digest, SampleSet } from "../../proto/operations.ts";

/** Names what a checkpoint answers about a row of a sample set, whatever set the row stands in: all that the answer depends on. */
export function rowKey(
  question: string,
  checkpoint: Digest,
  { rows, secondRows, maxLen, endId }: SampleSet,
  row: number,
): string {
  const asked = JSON.stringify([question, checkpoint, maxLen, endId, rows[row], secondRows?.[row]]);
  return createHash("sha256").update(asked).digest("base64");
}
