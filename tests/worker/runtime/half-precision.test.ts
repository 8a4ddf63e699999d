import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ScoreOperation } from "../../../proto/operations.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { relativeDifference } from "../../support/golden.ts";
import { classifierCells, openCell, putJson } from "../../support/golden-cell.ts";
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

test.skipIf(!hasShared)(
  "a plan that scores clone pairs in both precisions keeps its programs from step to step",
  async () => {
    const { golden, root, checkpoint, samples } = await openCell("clone_detection-codebert");
    const profileFolder = join(root, "profiles");
    mkdirSync(profileFolder);
    const executor = await createLocalExecutor({ folder: root, threads: 1, profileFolder });
    const vocabulary = await putJson(executor, { ids: golden.gradient.vocab });
    const [trigger] = golden.candidates.triggers;
    const score: ScoreOperation = { kind: "score", checkpoint, samples, sample: 1, triggers: [trigger!] };
    const objective = { kind: "label", label: 1 } as const;
    for (let step = 0; step < 2; step++) {
      const [gradients] = await executor.execute([
        { kind: "gradient", checkpoint, samples, rows: [0], trigger: trigger!, objective },
      ]);
      const gradient = trigger!.map((_, slot) => {
        const { shape, data } = gradients!.tensors.gradient!;
        return Float32Array.from(data.subarray(slot * shape[2]!, (slot + 1) * shape[2]!));
      });
      await executor.execute([
        { kind: "rank", checkpoint, vocabulary, gradient, topk: 4 },
        { ...score, precision: "fp16" },
        score,
      ]);
    }
    await executor.close();
    // A profile is written when a program is let go of.
    const programs = readdirSync(profileFolder).map((name) => name.slice(0, 64));
    expect(programs.length).toBeGreaterThan(4);
    expect(new Set(programs).size).toBe(programs.length);
  },
);
