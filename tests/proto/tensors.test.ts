import { expect, test } from "vitest";
import { decodeTensors, encodeTensors, tensorsFromMessages } from "../../proto/tensors.ts";

test("tensors come back from their bytes with the same names, shapes and bits", () => {
  const tensors = {
    "layer.weight": { shape: [2, 2], data: Float32Array.of(1.5, -0, Number.NaN, 3e-45) },
    "layer.weight#rows": { shape: [3], data: Int32Array.of(-1, 0, 2147483647) },
    odd: { shape: [], data: Float32Array.of(7) },
    empty: { shape: [0, 4], data: new Float32Array(0) },
  };
  const back = decodeTensors(encodeTensors(tensors));

  expect(Object.keys(back)).toEqual(Object.keys(tensors));
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    expect(back[name]!.shape).toEqual(shape);
    expect(back[name]!.data).toStrictEqual(data);
  }
});

test("a tensor whose bytes do not fill its shape is refused by name", () => {
  const message = { name: "w", dtype: 0, shape: [2, 3], data: new Uint8Array(20) };

  expect(() => tensorsFromMessages([message])).toThrow("tensor 'w': 20 bytes do not fill shape [2, 3]");
});

test("a tensor given twice is refused", () => {
  const message = { name: "w", dtype: 0, shape: [1], data: new Uint8Array(4) };

  expect(() => tensorsFromMessages([message, message])).toThrow("tensor 'w' occurs twice");
});
