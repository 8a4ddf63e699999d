import type { Digest } from "../../proto/operations.ts";

/** The bytes that came are not those that the digest names: they are thrown away, and the operation may go elsewhere. */
export class ArtifactCorruptError extends Error {
  override readonly name = "ArtifactCorruptError";
  readonly digest: Digest;

  constructor(digest: Digest, source: string, finding: string) {
    super(`artifact ${digest} from ${source} ${finding}`);
    this.digest = digest;
  }
}

/** The coordinator does not know the artifact, so waiting does not help. */
export class ArtifactMissingError extends Error {
  override readonly name = "ArtifactMissingError";
  readonly digest: Digest;

  constructor(digest: Digest) {
    super(`the coordinator has no artifact ${digest}`);
    this.digest = digest;
  }
}

/** A checkpoint manifest whose bytes are right but which is not one. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";

  constructor(digest: Digest, reason: string) {
    super(`checkpoint manifest ${digest}: ${reason}`);
  }
}
