import { join } from "node:path";
import { type OpenedModel, publishCheckpoint } from "../../coordinator/cli/open-model.ts";
import { createLocalExecutor } from "../../worker/runtime/local-executor.ts";
import { putJson } from "./golden-cell.ts";
import { readSharedJson, sharedPath } from "./shared.ts";
import { tempFolder } from "./temp-folder.ts";

/** `golden/tiny/layouts`: `GPTBigCodeForSequenceClassification` with two labels, and a LoRA adapter over it. */
export const base = sharedPath("golden", "tiny", "layouts", "gpt-bigcode-safetensors");
export const adapter = sharedPath("golden", "tiny", "layouts", "gpt-bigcode-lora");

const recorded = () =>
  readSharedJson<{
    gpt_bigcode: {
      input_ids: number[][];
      logits: Record<"base" | "base_with_adapter" | "merged", number[][]>;
    };
  }>("golden", "tiny", "layouts", "case.json").gpt_bigcode;

/** The recorded rows without padding. */
export const recordedRows = (): number[][] => recorded().input_ids.map((row) => row.filter((id) => id !== 0));

/** PyTorch's logits of those rows, one row after the other. */
export const recordedLogits = (kind: "base" | "base_with_adapter" | "merged"): number[] =>
  recorded().logits[kind].flat();

/** Logits of the recorded rows. */
export async function logitsOf(opened: OpenedModel): Promise<number[]> {
  const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 1 });
  const samples = await putJson(executor, { rows: recordedRows(), maxLen: 40, endId: 0 });
  const checkpoint = await publishCheckpoint(executor, opened);
  const [result] = await executor.execute([{ kind: "predict", checkpoint, samples, rows: [0, 1, 2, 3] }]);
  await executor.close();
  return [...result!.tensors.logits!.data];
}
