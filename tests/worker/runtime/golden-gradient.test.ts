import { describe, expect, test } from "vitest";
import type { Tensor } from "../../../proto/operations.ts";
import { loadArrays, relativeDifference } from "../../support/golden.ts";
import { classifierCells, openCell, putJson } from "../../support/golden-cell.ts";
import { hasShared } from "../../support/shared.ts";

const TOLERANCE = 2e-5;

/** [rows, positions, hidden] → the mean over rows, summed in float64 in index order and rounded once. */
function meanOverRows({ shape, data }: Tensor): number[][] {
  const [rows, positions, hidden] = shape as [number, number, number];
  return Array.from({ length: positions }, (_, position) =>
    Array.from({ length: hidden }, (_, at) => {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += data[(row * positions + position) * hidden + at]!;
      return Math.fround(sum / rows);
    }),
  );
}

describe.skipIf(!hasShared).each(classifierCells)("%s", (cell) => {
  test("each row's gradient is PyTorch's, and zero at tokens that were cut", async () => {
    const { golden, executor, checkpoint, samples } = await openCell(cell);
    const arrays = await loadArrays("golden", "tiny", cell, "arrays.safetensors");
    const [result] = await executor.execute([
      {
        kind: "gradient",
        checkpoint,
        samples,
        rows: golden.inputs.lengths.map((_, row) => row),
        trigger: golden.trigger.ids,
        objective: { kind: "label", label: golden.inputs.target_label },
      },
    ]);

    const { gradient, logits } = result!.tensors;
    expect(gradient!.shape).toEqual([6, 5, 48]);
    expect(relativeDifference(gradient!.data, arrays.get("gradient.per_sample")!.data)).toBeLessThan(
      TOLERANCE,
    );
    expect(
      relativeDifference(meanOverRows(gradient!).flat(), golden.gradient.trigger.embedding.flat()),
    ).toBeLessThan(TOLERANCE);
    expect(relativeDifference(logits!.data, golden.trigger.forward.logits.flat())).toBeLessThan(TOLERANCE);
    await executor.close();
  });

  test("the best ids of every position, at the trigger and at every recorded step, are PyTorch's", async () => {
    const { golden, executor, checkpoint, samples } = await openCell(cell);
    const vocabulary = await putJson(executor, { ids: golden.gradient.vocab });
    const rows = golden.inputs.lengths.map((_, row) => row);
    const best = async (trigger: readonly number[]) => {
      const target = golden.inputs.target_label;
      const [slopes] = await executor.execute([
        {
          kind: "gradient",
          checkpoint,
          samples,
          rows,
          trigger,
          objective: { kind: "label", label: target },
        },
      ]);
      const gradient = meanOverRows(slopes!.tensors.gradient!).map((row) => Float32Array.from(row));
      const [ranked] = await executor.execute([{ kind: "rank", checkpoint, vocabulary, gradient, topk: 8 }]);
      return ranked!.tensors;
    };

    const { ids, values } = await best(golden.trigger.ids);
    expect(ids!.shape).toEqual([5, 8]);
    expect([...ids!.data]).toEqual(golden.gradient.trigger.topk_ids.flat());
    expect(relativeDifference(values!.data, golden.gradient.trigger.topk_values.flat())).toBeLessThan(
      TOLERANCE,
    );
    for (const step of golden.steps) {
      expect([...(await best(step.trigger)).ids!.data]).toEqual(step.topk_ids.flat());
    }
    await executor.close();
  });

  test("what the encoder alone reads has the gradient of the published scanner, which differs where there is a decoder", async () => {
    const { golden, executor, checkpoint, samples } = await openCell(cell);
    const { samples: rows, embedding } = golden.gradient_published ?? {
      samples: golden.inputs.lengths.map((_, row) => row),
      embedding: golden.gradient.trigger.embedding,
    };
    const [result] = await executor.execute([
      {
        kind: "gradient",
        checkpoint,
        samples,
        rows,
        trigger: golden.trigger.ids,
        objective: { kind: "label", label: golden.inputs.target_label },
        reads: "encoder",
      },
    ]);

    const own = meanOverRows(result!.tensors.gradient!).flat();
    expect(relativeDifference(own, embedding.flat())).toBeLessThan(TOLERANCE);
    expect(golden.gradient_published !== undefined).toBe(cell.endsWith("codet5"));
    await executor.close();
  });
});
