import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { z } from "zod";
import type { Digest } from "../../proto/operations.ts";

/** A digest as it may appear in a file name: checked at the edge, so that no message can name a path. */
export const DigestSchema = z.string().regex(/^[0-9a-f]{64}$/, "64 lower-case hexadecimal digits");

/** @throws where a name that came from elsewhere is not a digest, and could name another file. */
export function assertDigest(name: string): Digest {
  if (!DigestSchema.safeParse(name).success)
    throw new TypeError(`'${name.slice(0, 80)}' is no sha256 digest`);
  return name;
}

/** Digest of a file, read in pieces of 1 MiB. */
export async function digestOfFile(path: string, signal?: AbortSignal): Promise<Digest> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20, signal })) {
    hash.update(piece as Buffer);
  }
  return hash.digest("hex");
}
