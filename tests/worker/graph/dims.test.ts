import { expect, test } from "vitest";
import {
  addDims,
  canonicalDim,
  divDims,
  elementCount,
  mulDims,
  subDims,
} from "../../../worker/graph/dims.ts";

test("equal dimensions are equal strings, however they were computed", () => {
  expect(mulDims("T", "B")).toBe("B*T");
  expect(mulDims(2, mulDims("B", 3))).toBe("6*B");
  expect(addDims(addDims("T", 3), -3)).toBe("T");
  expect(subDims("T", "T")).toBe(0);
  expect(canonicalDim("T*B - 0".replaceAll(" ", ""))).toBe("B*T");
  expect(mulDims(addDims("T", 1), addDims("T", -1))).toBe("T*T-1");
  expect(elementCount(["B", "T", 12, 64])).toBe("768*B*T");
});

test("division is exact or undefined", () => {
  expect(divDims("768*B*T", mulDims("B", 64))).toBe("12*T");
  expect(divDims(addDims("4*T", 8), 4)).toBe("T+2");
  expect(divDims("B*T", "L")).toBeUndefined();
  expect(divDims("3*T", 2)).toBeUndefined();
  expect(divDims(7, 0)).toBeUndefined();
});
