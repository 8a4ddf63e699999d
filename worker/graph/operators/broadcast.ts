import { type Dim, formatShape, type Shape } from "../dims.ts";

/**
 * The shape that ONNX's multidirectional broadcasting gives. A symbol agrees with itself and with 1 only, so that a
 * program which passes is right for every batch and length.
 */
export function broadcastShapes(shapes: readonly Shape[], fail: (reason: string) => never): Shape {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let result: Dim = 1;
    for (const shape of shapes) {
      const dim = shape[axis - rank + shape.length] ?? 1;
      if (dim === 1 || dim === result) continue;
      if (result !== 1) {
        const listed = shapes.map(formatShape).join(" and ");
        fail(`cannot broadcast ${listed}: axis ${axis} is both ${result} and ${dim}`);
      }
      result = dim;
    }
    return result;
  });
}
