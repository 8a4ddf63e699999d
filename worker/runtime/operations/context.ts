import { OperationFailed } from "../../../proto/operation-failed.ts";
import type { Digest, SampleSet, Tensor, TensorMap, Vocabulary } from "../../../proto/operations.ts";
import type { VectorCache } from "../../../proto/vector-cache.ts";
import { type Graph, halfPrecision } from "../../graph/index.ts";
import type { StoredModel } from "../../programs/model.ts";
import type { Session, SessionOptions } from "../session.ts";
import type { WrittenArtifact } from "../written-artifact.ts";

/** What an operation computes with: its checkpoint, and what the engine keeps from one operation to the next. */
export interface OperationContext {
  readonly model: StoredModel;
  /** The session of a program of this checkpoint, compiled at the first use. `purpose` names it. */
  session(
    purpose: string,
    build: (model: StoredModel) => Graph,
    options?: Partial<Pick<SessionOptions, "packWeights">>,
  ): Promise<Session>;
  samples(digest: Digest): Promise<SampleSet>;
  vocabulary(digest: Digest): Promise<Vocabulary>;
  weights(digest: Digest): Promise<TensorMap>;
  /** Tensors of an artifact that are read once, and may be changed. */
  ownTensors(digest: Digest): Promise<TensorMap>;
  /** Tensors of an artifact that several operations in a row read. */
  vectors(digest: Digest): Promise<TensorMap>;
  /** Vectors of snippets by the digest of their ids: kept for this checkpoint, or computed for the keys with the given indexes. */
  snippetVectors: VectorCache["get"];
  /** Writes tensors into a file, an artifact of the result. */
  write(name: string, tensors: TensorMap): Promise<WrittenArtifact>;
  /** Says that a part of a long operation is done. */
  partDone(): Promise<void>;
  /** Most tokens that go through a program in one run. */
  readonly tokensPerRun: number;
}

/** The same with programs whose products are computed in float16. What is kept of second snippets is kept apart. */
export const inHalfPrecision = (context: OperationContext): OperationContext => ({
  ...context,
  session: (purpose, build, options) =>
    context.session(`${purpose} fp16`, (model) => halfPrecision(build(model)), options),
  snippetVectors: (keys, compute) =>
    context.snippetVectors(
      keys.map((key) => `fp16 ${key}`),
      compute,
    ),
});

/** What an operation did, before the engine adds the seconds. */
export interface Done {
  readonly tensors: TensorMap;
  readonly written?: readonly WrittenArtifact[];
  readonly forwards: number;
  readonly tokens: number;
}

/** Throws OperationFailed where a result holds a NaN or an infinity, which no search may compare. */
export function checkFinite(name: string, { data }: Tensor<Float32Array>): void {
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new OperationFailed(
    `${name}[${at}] is ${data[at]}: a weight of the checkpoint is not finite, or far too large (in fp16: above 65,504)`,
  );
}
