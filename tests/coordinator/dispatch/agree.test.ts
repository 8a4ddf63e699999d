import { expect, test } from "vitest";
import { resultsAgree } from "../../../coordinator/dispatch/agree.ts";
import type { TensorMap } from "../../../proto/operations.ts";
import { tile } from "../../support/scripted-worker.ts";

const logits = (...values: number[]) => ({
  tensors: { logits: { shape: [values.length, 1], data: Float32Array.from(values) } } as TensorMap,
});
const agree = (device: string, a: ReturnType<typeof logits>, b: ReturnType<typeof logits>, half = false) =>
  resultsAgree({ ...tile(1), ...(half && { precision: "fp16" }) } as ReturnType<typeof tile>, device, a, b);

test("on a CPU every bit counts, that of a zero's sign too", () => {
  expect(agree("cpu/1", logits(1, 2), logits(1, 2))).toBe(true);
  expect(agree("cpu/1", logits(1, 2), logits(1, 2.0000002))).toBe(false);
  expect(agree("cpu/1", logits(0), logits(-0))).toBe(false);
});

test("on other devices a tolerance by the largest value counts, a wider one in half precision", () => {
  expect(agree("cuda/1", logits(1, 100), logits(1.009, 100))).toBe(true);
  expect(agree("cuda/1", logits(1, 100), logits(1.02, 100))).toBe(false);
  expect(agree("cuda/1", logits(1, 100), logits(1.02, 100), true)).toBe(true);
  expect(agree("cuda/1", logits(1, 100), logits(4, 100), true)).toBe(false);
});

test("other names, shapes or types never agree", () => {
  const other = { tensors: { logits: { shape: [1, 2], data: Float32Array.of(1, 2) } } };
  expect(agree("cuda/1", logits(1, 2), other as ReturnType<typeof logits>)).toBe(false);
  expect(agree("cuda/1", logits(1), { tensors: {} })).toBe(false);
  const wide = { tensors: { logits: { shape: [1, 1], data: Float64Array.of(1) } } };
  expect(agree("cuda/1", logits(1), wide as unknown as ReturnType<typeof logits>)).toBe(false);
});

test("artifacts are compared by their digests", () => {
  const left = (weights: string) => ({ ...logits(1), artifacts: { weights } });
  expect(agree("cpu/1", left("a"), left("a"))).toBe(true);
  expect(agree("cpu/1", left("a"), left("b"))).toBe(false);
  expect(agree("cpu/1", left("a"), logits(1))).toBe(false);
});
