import { expect, test } from "vitest";
import { paddedBatch } from "../../../worker/programs/padded-batch.ts";

test("shorter rows are padded on the right, masked, and keep padding's position", () => {
  const { ids, positions, keyBias } = paddedBatch(
    [
      [0, 7, 8, 2],
      [0, 2],
    ],
    1,
  );

  expect(ids).toEqual({ shape: [2, 4], data: Int32Array.of(0, 7, 8, 2, 0, 2, 1, 1) });
  expect([...positions.data]).toEqual([2, 3, 4, 5, 2, 3, 1, 1]);
  expect(keyBias.shape).toEqual([2, 1, 1, 4]);
  expect([...keyBias.data].map((bias) => bias === 0)).toEqual([
    true,
    true,
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
});
