import { expect, test } from "vitest";
import { dropoutMask } from "../../../worker/programs/dropout-mask.ts";

const COUNT = 100_000;

test("elements are 0 or 1 ÷ (1 − p), and about p of them are 0", () => {
  const mask = dropoutMask(COUNT, 0.1, 42, "dropout embeddings");
  const dropped = mask.filter((value) => value === 0).length;

  expect(new Set(mask)).toEqual(new Set([0, Math.fround(1 / 0.9)]));
  // Five standard deviations of a binomial: √(100,000 · 0.1 · 0.9) ≈ 95.
  expect(Math.abs(dropped - COUNT * 0.1)).toBeLessThan(475);
});

test("an element depends on the seed, the site and its index alone", () => {
  const mask = dropoutMask(1_000, 0.3, 1, "a");

  expect(dropoutMask(2_000, 0.3, 1, "a").subarray(0, 1_000)).toEqual(mask);
  expect(dropoutMask(1_000, 0.3, 2, "a")).not.toEqual(mask);
  expect(dropoutMask(1_000, 0.3, 1, "b")).not.toEqual(mask);
});

test("neighbours, seeds and sites are independent", () => {
  const one = dropoutMask(COUNT, 0.5, 1, "a");
  const agreement = (other: Float32Array) => one.filter((value, i) => value === other[i]).length / COUNT;

  for (const other of [
    dropoutMask(COUNT, 0.5, 2, "a"),
    dropoutMask(COUNT, 0.5, 1, "b"),
    dropoutMask(COUNT + 1, 0.5, 1, "a").subarray(1),
    dropoutMask(COUNT + 48, 0.5, 1, "a").subarray(48),
  ]) {
    expect(Math.abs(agreement(other) - 0.5)).toBeLessThan(0.01);
  }
});
