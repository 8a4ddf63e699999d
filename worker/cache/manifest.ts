import { readFile, stat } from "node:fs/promises";
import { z } from "zod";
import { parseJson } from "../../proto/json-text.ts";
import type { CheckpointManifest, Digest } from "../../proto/operations.ts";
import { DigestSchema } from "./digest.ts";
import { ManifestError } from "./errors.ts";

const MAX_MANIFEST_BYTES = 4 << 20;

const Manifest = z.strictObject({
  task: z.enum(["defect_detection", "clone_detection", "code_search"]),
  files: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[^/\\\0]+$/, "a file name without folders"),
        digest: DigestSchema,
        bytes: z.number().int().nonnegative(),
      }),
    )
    .min(1)
    .max(10_000),
});

/**
 * The checkpoint manifest in a file.
 * @throws ManifestError naming the field that is wrong.
 */
export async function readManifest(path: string, digest: Digest): Promise<CheckpointManifest> {
  const { size } = await stat(path);
  if (size > MAX_MANIFEST_BYTES) throw new ManifestError(digest, `${size} bytes are too many for a manifest`);
  let json: unknown;
  try {
    json = parseJson(await readFile(path, "utf8"));
  } catch (cause) {
    throw new ManifestError(digest, `not JSON (${(cause as Error).message})`);
  }
  const parsed = Manifest.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new ManifestError(digest, `${issue?.path.join(".")}: ${issue?.message}`);
  }
  return parsed.data;
}
