import { describe, expect, test } from "vitest";
import type { ScoreOperation } from "../../../proto/operations.ts";
import { relativeDifference } from "../../support/golden.ts";
import { classifierCells, openCell } from "../../support/golden-cell.ts";
import { hasShared } from "../../support/shared.ts";

describe.skipIf(!hasShared).each(classifierCells)("%s", (cell) => {
  test("logits in half precision are near those in single precision, and differ; single precision stays what it was", async () => {
    const { golden, executor, checkpoint, samples } = await openCell(cell);
    const { triggers } = golden.candidates;
    const score: ScoreOperation = { kind: "score", checkpoint, samples, sample: 1, triggers };

    const [before, half, after] = await executor.execute([score, { ...score, precision: "fp16" }, score]);

    const logits = before!.tensors.logits!.data;
    const apart = relativeDifference(half!.tensors.logits!.data, logits);
    expect(apart).toBeGreaterThan(1e-6);
    expect(apart).toBeLessThan(5e-2);
    expect(after!.tensors.logits!.data).toEqual(logits);
    await executor.close();
  });
});
