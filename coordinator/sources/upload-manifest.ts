import { z } from "zod";
import { canonicalJson } from "../../proto/canonical-json.ts";
import { parseJson } from "../../proto/json-text.ts";
import { isDigest } from "../../proto/result-envelope.ts";
import { isPlainName } from "./checkpoint-files.ts";
import { SourceError } from "./source.ts";

const MAX_FILES = 1_000;
/** Of a manifest itself: more than that many names and digests. */
export const MAX_MANIFEST_BYTES = 1024 ** 2;

/** What a client sent as one model, base or file: names and contents. Its own digest names it. */
const UploadManifest = z.strictObject({
  format: z.literal(1),
  files: z
    .array(
      z.strictObject({
        name: z.string().refine(isPlainName, "must be a plain file name"),
        digest: z.string().refine(isDigest, "must be a sha256"),
        bytes: z.int().nonnegative(),
      }),
    )
    .min(1)
    .max(MAX_FILES)
    .refine((files) => new Set(files.map(({ name }) => name)).size === files.length, "names a file twice"),
});
export type UploadManifest = z.infer<typeof UploadManifest>;
export type UploadedFile = UploadManifest["files"][number];

/** The same bytes for the same files, in whatever order. */
export const encodeManifest = (files: readonly UploadedFile[]): Uint8Array =>
  Buffer.from(canonicalJson({ format: 1, files: [...files].sort((a, b) => (a.name < b.name ? -1 : 1)) }));

/** @param source names it in errors @throws SourceError naming the field */
export function parseManifest(bytes: Uint8Array, source: string): UploadManifest {
  let value: unknown;
  try {
    value = parseJson(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new SourceError(`${source}: its manifest is no JSON`, { cause });
  }
  const parsed = UploadManifest.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new SourceError(`${source}: its manifest's ${issue.path.join(".") || "value"}: ${issue.message}`);
}
