import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  lossToward,
  meanOf,
  predictedLabel,
  probabilityOf,
  sumInOrder,
} from "../../../coordinator/search/loss.ts";
import { hasShared, readSharedJson } from "../../support/shared.ts";

interface Forward {
  readonly logits: number[][];
  readonly prob: number[][];
  readonly loss: number[];
  readonly loss_mean: number;
  readonly loss_published: number[];
  readonly loss_mean_published: number;
}
interface Case {
  readonly inputs: { readonly labels: number[]; readonly target_label: number };
  readonly forward: Forward;
  readonly trigger: { readonly forward: Forward };
}

const cells = ["defect_detection-codebert", "defect_detection-unixcoder", "clone_detection-codebert"];

describe.skipIf(!hasShared)("losses equal PyTorch's", () => {
  test.each(cells)("%s", (cell) => {
    const { inputs, forward, trigger } = readSharedJson<Case>("golden", "tiny", cell, "case.json");
    const check = (golden: Forward, targets: readonly number[]): void => {
      // The file's shortest decimals name float32 numbers.
      const rows = golden.logits.map((logits) => Float32Array.from(logits));
      const losses = rows.map((logits, k) => lossToward(logits, targets[k]!));
      const published = rows.map((logits, k) => lossToward(logits, targets[k]!, "published"));
      for (const [k, loss] of losses.entries()) {
        expect(loss).toBeCloseTo(golden.loss[k]!, 12);
        expect(published[k]! / golden.loss_published[k]! - 1).toBeCloseTo(0, 5);
        const p = golden.prob[k]!;
        const golden1 = p.length > 1 ? p[targets[k]!]! : targets[k] === 1 ? p[0]! : 1 - p[0]!;
        expect(probabilityOf(rows[k]!, targets[k]!)).toBeCloseTo(golden1, 6);
      }
      expect(meanOf(sumInOrder(losses), losses.length)).toBeCloseTo(golden.loss_mean, 12);
      const mean = meanOf(sumInOrder(published, "published"), losses.length, "published");
      expect(mean / golden.loss_mean_published - 1).toBeCloseTo(0, 5);
    };
    check(forward, inputs.labels);
    check(
      trigger.forward,
      inputs.labels.map(() => inputs.target_label),
    );
  });
});

test("the float64 loss is never negative and never overflows", () => {
  const logit = fc.float({ noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(fc.array(logit, { minLength: 1, maxLength: 4 }), fc.nat(3), (logits, label) => {
      const target = label % Math.max(2, logits.length);
      const loss = lossToward(logits, target);
      expect(loss).toBeGreaterThanOrEqual(0);
      expect(Number.isFinite(loss)).toBe(true);
    }),
  );
});

test("the published loss saturates at the logarithm of 1e-10, the float64 one does not", () => {
  expect(lossToward([200], 0, "published")).toBeCloseTo(23.02585, 4);
  expect(lossToward([200], 0)).toBe(200);
});

test("a sigmoid head answers 1 above probability 0.5 only, others with the largest logit", () => {
  expect([predictedLabel([0]), predictedLabel([1e-30]), predictedLabel([-1])]).toEqual([0, 1, 0]);
  expect([predictedLabel([1, 1]), predictedLabel([0, 2, 1])]).toEqual([0, 1]);
});
