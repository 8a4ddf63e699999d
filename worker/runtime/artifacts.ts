import { readFile } from "node:fs/promises";
import { z } from "zod";
import { parseJson } from "../../proto/json-text.ts";
import { OperationFailed } from "../../proto/operation-failed.ts";
import type { Digest, SampleSet, TensorMap, Vocabulary } from "../../proto/operations.ts";
import { decodeTensors } from "../../proto/tensors.ts";

/** Path of an artifact's file. Rejects where this worker does not have it. */
export type ResolveArtifact = (digest: Digest) => Promise<string>;

const index = z.number().int().nonnegative();
const ids = z.array(index);

const SampleSetJson: z.ZodType<SampleSet> = z
  .strictObject({
    rows: z.array(ids.min(1)),
    secondRows: z.array(ids.min(1)).optional(),
    insertIndexes: z.array(index).optional(),
    maxLen: index.min(1),
    endId: index,
  })
  .refine(
    ({ rows, secondRows = [], maxLen }) => [...rows, ...secondRows].every((row) => row.length <= maxLen),
    "a row is longer than maxLen",
  )
  .refine(
    ({ rows, secondRows }) => !secondRows || secondRows.length === rows.length,
    "secondRows has another length than rows",
  )
  .refine(
    ({ rows, insertIndexes }) => !insertIndexes || insertIndexes.length === rows.length,
    "insertIndexes has another length than rows",
  );

const VocabularyJson: z.ZodType<Vocabulary> = z
  .strictObject({ ids: ids.min(1) })
  .refine(({ ids }) => ids.every((id, at) => at === 0 || ids[at - 1]! < id), "ids do not ascend");

/** Each reads an artifact and checks it; a wrong one fails its operation everywhere. */
export const readSampleSet = (resolve: ResolveArtifact, digest: Digest): Promise<SampleSet> =>
  readJson(resolve, digest, "sample set", SampleSetJson);

export const readVocabulary = (resolve: ResolveArtifact, digest: Digest): Promise<Vocabulary> =>
  readJson(resolve, digest, "vocabulary", VocabularyJson);

export async function readWeights(resolve: ResolveArtifact, digest: Digest): Promise<TensorMap> {
  const bytes = await readFile(await resolve(digest));
  try {
    return decodeTensors(bytes);
  } catch (cause) {
    throw new OperationFailed(`weights ${digest}: ${(cause as Error).message}`, { cause });
  }
}

async function readJson<T>(
  resolve: ResolveArtifact,
  digest: Digest,
  what: string,
  schema: z.ZodType<T>,
): Promise<T> {
  const text = await readFile(await resolve(digest), "utf8");
  let json: unknown;
  try {
    json = parseJson(text, { values: Number.POSITIVE_INFINITY });
  } catch (cause) {
    throw new OperationFailed(`${what} ${digest}: not JSON (${(cause as Error).message})`, { cause });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new OperationFailed(`${what} ${digest}: ${issue.path.join(".") || "content"}: ${issue.message}`);
}
