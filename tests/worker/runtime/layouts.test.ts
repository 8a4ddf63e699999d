import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { relativeDifference } from "../../support/golden.ts";
import { putJson } from "../../support/golden-cell.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

interface Layouts {
  readonly roberta: {
    readonly folders: Readonly<Record<string, "float32" | "float16" | "bfloat16">>;
    readonly input_ids: readonly (readonly number[])[];
    readonly attention_mask: readonly (readonly number[])[];
    readonly logits: Readonly<Record<string, readonly (readonly number[])[]>>;
  };
}

const folders = [
  "roberta-safetensors",
  "roberta-safetensors-sharded",
  "roberta-bin",
  "roberta-bin-sharded",
  "roberta-safetensors-float16",
  "roberta-safetensors-bfloat16",
];

describe.skipIf(!hasShared)("RobertaForSequenceClassification with three labels", () => {
  test.each(folders)("%s gives PyTorch's logits, mapped from where its weights lie", async (folder) => {
    const { roberta } = readSharedJson<Layouts>("golden", "tiny", "layouts", "case.json");
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 1 });
    const checkpoint = await putCheckpoint(
      executor,
      sharedPath("golden", "tiny", "layouts", folder),
      "defect_detection",
    );
    const rows = roberta.input_ids.map((row, index) =>
      row.filter((_, column) => roberta.attention_mask[index]![column] === 1),
    );
    const samples = await putJson(executor, { rows, maxLen: 40, endId: 2 });

    const [result] = await executor.execute([{ kind: "predict", checkpoint, samples, rows: [0, 1, 2, 3] }]);

    const expected = roberta.logits[roberta.folders[folder]!]!;
    expect(result!.tensors.logits!.shape).toEqual([4, 3]);
    expect(relativeDifference(result!.tensors.logits!.data, expected.flat())).toBeLessThan(2e-5);
    await executor.close();
  });

  test("every weight that takes part has a finite gradient, whatever type it is stored in", async () => {
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 1 });
    const slopes = [];
    for (const folder of ["roberta-safetensors", "roberta-safetensors-bfloat16"]) {
      const checkpoint = await putCheckpoint(
        executor,
        sharedPath("golden", "tiny", "layouts", folder),
        "defect_detection",
      );
      const samples = await putJson(executor, {
        rows: [[0, 7, 8, 9, 2]],
        insertIndexes: [2],
        maxLen: 40,
        endId: 2,
      });
      const [result] = await executor.execute([
        {
          kind: "gradient",
          checkpoint,
          samples,
          rows: [0],
          trigger: [11, 12],
          objective: { kind: "label", label: 2 },
        },
      ]);
      slopes.push(result!.tensors.gradient!.data);
    }

    // bfloat16 keeps 8 bits of a weight, so the gradients are alike and not equal.
    const difference = relativeDifference(slopes[1]!, slopes[0]!);
    expect(difference).toBeGreaterThan(1e-5);
    expect(difference).toBeLessThan(0.1);
    await executor.close();
  });
});
