import { canonicalJson } from "../../proto/canonical-json.ts";
import type { Executor, SampleSet } from "../../proto/operations.ts";
import type { TrainingSamples } from "./trainer.ts";

/** Gives rows of token ids to the executor, for operations that refer to them by index. */
export async function putSamples(
  executor: Pick<Executor, "putArtifact">,
  set: SampleSet,
): Promise<TrainingSamples> {
  return { digest: await executor.putArtifact(Buffer.from(canonicalJson(set))), set };
}
