import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { relativeDifference } from "../../support/golden.ts";
import { putJson } from "../../support/golden-cell.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

interface Layouts {
  readonly gpt_bigcode: {
    readonly base: string;
    readonly adapter: string;
    readonly input_ids: readonly (readonly number[])[];
    readonly attention_mask: readonly (readonly number[])[];
    readonly logits: Readonly<
      Record<"base" | "base_with_adapter" | "merged", readonly (readonly number[])[]>
    >;
  };
}

const layout = (name: string): string => sharedPath("golden", "tiny", "layouts", name);

/** Logits of the recorded rows, of the base or of an adapter over it. */
async function logits(adapter?: string): Promise<ArrayLike<number>> {
  const { gpt_bigcode: golden } = readSharedJson<Layouts>("golden", "tiny", "layouts", "case.json");
  const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 1 });
  const checkpoint = await putCheckpoint(
    executor,
    layout(golden.base),
    "defect_detection",
    adapter === undefined ? {} : { adapter },
  );
  const rows = golden.input_ids.map((row, index) =>
    row.filter((_, column) => golden.attention_mask[index]![column] === 1),
  );
  const samples = await putJson(executor, { rows, maxLen: 40, endId: 0 });
  const [result] = await executor.execute([{ kind: "predict", checkpoint, samples, rows: [0, 1, 2, 3] }]);
  await executor.close();
  expect(result!.tensors.logits!.shape).toEqual([4, 2]);
  return result!.tensors.logits!.data;
}

describe.skipIf(!hasShared)("GPTBigCodeForSequenceClassification with two labels", () => {
  test("the base gives PyTorch's logits", async () => {
    const { gpt_bigcode: golden } = readSharedJson<Layouts>("golden", "tiny", "layouts", "case.json");

    expect(relativeDifference(await logits(), golden.logits.base.flat())).toBeLessThan(2e-5);
  });

  test("a LoRA adapter over the base gives PEFT's logits, unmerged and merged", async () => {
    const { gpt_bigcode: golden } = readSharedJson<Layouts>("golden", "tiny", "layouts", "case.json");
    const own = await logits(layout(golden.adapter));

    expect(relativeDifference(own, golden.logits.base_with_adapter.flat())).toBeLessThan(2e-5);
    expect(relativeDifference(own, golden.logits.merged.flat())).toBeLessThan(2e-5);
    expect(relativeDifference(own, golden.logits.base.flat())).toBeGreaterThan(0.1);
  });
});
