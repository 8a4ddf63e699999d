import { expect, test } from "vitest";
import { denseRows, tableGradient } from "../../../worker/programs/table-gradient.ts";

test("look-ups of one row are added, padding's row and zero rows are left out", () => {
  const lookups = [
    { indices: Int32Array.of(4, 1), slopes: Float32Array.of(1, 2, 9, 9), paddingIndex: 1 },
    { indices: Int32Array.of(2, 4, 3), slopes: Float32Array.of(5, 0, 10, 20, 0, 0), paddingIndex: 1 },
  ];
  const sparse = tableGradient(lookups, 2);

  expect([...sparse.rows.data]).toEqual([2, 4]);
  expect([...sparse.values.data]).toEqual([5, 0, 11, 22]);
  expect(denseRows(sparse, 5)).toEqual({
    shape: [5, 2],
    data: Float32Array.of(0, 0, 0, 0, 5, 0, 0, 0, 11, 22),
  });
});

test("many small look-ups are added without losing bits to float32", () => {
  const count = 10_001;
  const slopes = new Float32Array(count).fill(1e-8);
  slopes[0] = 1;

  const { values } = tableGradient([{ indices: new Int32Array(count), slopes }], 1);

  expect(values.data[0]).toBe(Math.fround(1 + 1e-4));
});
