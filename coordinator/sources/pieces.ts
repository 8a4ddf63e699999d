import { basename } from "node:path";
import { canonicalJson, digestOf } from "../../proto/canonical-json.ts";
import type { Bucket, BucketObject } from "./bucket.ts";
import { checkpointFiles, isPlainName } from "./checkpoint-files.ts";
import { type BucketSource, SourceError, sourceText } from "./source.ts";

/** What a source is wanted for: a folder with weights, one with a configuration or a tokenizer, or a file. */
export type Wanted = "checkpoint" | "base" | "file";

/** An object and the file that it becomes. */
export interface Piece extends BucketObject {
  readonly name: string;
  /** Names this version of this object among those of all buckets. */
  readonly id: string;
}

/** The objects that a source consists of, by name. @throws SourceError where they are not what is wanted */
export async function piecesOf(
  bucket: Pick<Bucket, "name" | "find" | "list">,
  source: BucketSource,
  wanted: Wanted,
  { endpoint, signal }: { readonly endpoint: string; readonly signal: AbortSignal },
): Promise<Piece[]> {
  const pieceOf = (name: string, { key, etag, bytes }: BucketObject): Piece => ({
    ...{ key, etag, bytes, name },
    id: digestOf(Buffer.from(canonicalJson({ endpoint, bucket: bucket.name, key, etag, bytes }))),
  });
  const text = sourceText(source);
  if (wanted === "file") {
    const name = basename(source.prefix);
    if (!isPlainName(name))
      throw new SourceError(`${text}: a file's name must be letters, digits, '.', '_' and '-'`);
    return [pieceOf(name, await bucket.find(source.prefix, signal))];
  }
  const start = source.prefix === "" ? 0 : source.prefix.length + 1;
  const found = new Map<string, BucketObject>();
  for (const object of await bucket.list(source.prefix, signal)) found.set(object.key.slice(start), object);
  if (found.size === 0) throw new SourceError(`${text}: no object lies there`);
  const { names, hasWeights } = checkpointFiles([...found.keys()]);
  if (wanted === "checkpoint" && !hasWeights)
    throw new SourceError(
      `${text}: no checkpoint in it (model.bin, pytorch_model.bin or model.safetensors, or a LoRA adapter)`,
    );
  if (names.length === 0) throw new SourceError(`${text}: neither config.json nor a tokenizer in it`);
  return names.map((name) => pieceOf(name, found.get(name)!));
}
