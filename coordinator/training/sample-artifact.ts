import { canonicalJson } from "../../proto/canonical-json.ts";
import type { Executor, SampleSet } from "../../proto/operations.ts";
import { lend } from "../search/lent-artifacts.ts";
import type { TrainingSamples } from "./trainer.ts";

/** Gives rows of token ids to the executor, for operations that refer to them by index. */
export async function putSamples(
  executor: Pick<Executor, "putArtifact">,
  set: SampleSet,
): Promise<TrainingSamples> {
  return { digest: await executor.putArtifact(bytesOf(set)), set };
}

/** Lends rows of token ids to operations, until `takeBack` of their digest. */
export async function lendSamples(
  executor: Pick<Executor, "putArtifact" | "releaseArtifact">,
  set: SampleSet,
): Promise<TrainingSamples> {
  return { digest: await lend(executor, bytesOf(set)), set };
}

const bytesOf = (set: SampleSet): Uint8Array => Buffer.from(canonicalJson(set));
