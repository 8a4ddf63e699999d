/** A dense layer in float64 over float32 weights [outputs, inputs]. Each sum runs in index order, whatever stands beside it: four at a time are faster, and the same. */
export interface DenseLayer {
  readonly weight: Float32Array;
  /** [outputs]; absent: no bias. */
  readonly bias?: Float32Array | undefined;
  readonly inputs: number;
}

/** weight · x + bias. */
export function denseForward({ weight, bias, inputs }: DenseLayer, x: Float64Array): Float64Array {
  const y = new Float64Array(weight.length / inputs);
  let o = 0;
  for (; o + 4 <= y.length; o += 4) {
    const [first, second, third, fourth] = [o * inputs, (o + 1) * inputs, (o + 2) * inputs, (o + 3) * inputs];
    let a = bias === undefined ? 0 : bias[o]!;
    let b = bias === undefined ? 0 : bias[o + 1]!;
    let c = bias === undefined ? 0 : bias[o + 2]!;
    let d = bias === undefined ? 0 : bias[o + 3]!;
    for (let i = 0; i < inputs; i++) {
      const xi = x[i]!;
      a += weight[first + i]! * xi;
      b += weight[second + i]! * xi;
      c += weight[third + i]! * xi;
      d += weight[fourth + i]! * xi;
    }
    y[o] = a;
    y[o + 1] = b;
    y[o + 2] = c;
    y[o + 3] = d;
  }
  for (; o < y.length; o++) {
    let sum = bias === undefined ? 0 : bias[o]!;
    for (let i = 0; i < inputs; i++) sum += weight[o * inputs + i]! * x[i]!;
    y[o] = sum;
  }
  return y;
}

/** ∂loss/∂y of one row, and the row's x. */
export interface DenseSlope {
  readonly x: Float64Array;
  readonly slope: Float64Array;
}

/**
 * Adds the rows' gradients to those of weight [outputs, inputs] and bias [outputs], in the order of the rows.
 *
 * @param into arrays of the layer's gradients
 */
export function denseBackward(
  rows: readonly DenseSlope[],
  into: { readonly weight: Float64Array; readonly bias?: Float64Array | undefined },
): void {
  const { weight, bias } = into;
  const inputs = rows[0]?.x.length ?? 0;
  if (bias !== undefined)
    for (const { slope } of rows) for (let o = 0; o < slope.length; o++) bias[o]! += slope[o]!;
  let r = 0;
  for (; r + 4 <= rows.length; r += 4) {
    const [one, two, three, four] = [rows[r]!, rows[r + 1]!, rows[r + 2]!, rows[r + 3]!];
    const [x1, x2, x3, x4] = [one.x, two.x, three.x, four.x];
    for (let o = 0; o < one.slope.length; o++) {
      const [a, b, c, d] = [one.slope[o]!, two.slope[o]!, three.slope[o]!, four.slope[o]!];
      const start = o * inputs;
      for (let i = 0; i < inputs; i++) {
        weight[start + i] = weight[start + i]! + a * x1[i]! + b * x2[i]! + c * x3[i]! + d * x4[i]!;
      }
    }
  }
  for (; r < rows.length; r++) {
    const { x, slope } = rows[r]!;
    for (let o = 0; o < slope.length; o++) {
      const [g, start] = [slope[o]!, o * inputs];
      for (let i = 0; i < inputs; i++) weight[start + i]! += g * x[i]!;
    }
  }
}

/** Adds weightᵀ · slope to ∂loss/∂x. */
export function denseInputSlope({ weight, inputs }: DenseLayer, slope: Float64Array): Float64Array {
  const toX = new Float64Array(inputs);
  for (let o = 0; o < slope.length; o++) {
    const [g, start] = [slope[o]!, o * inputs];
    for (let i = 0; i < inputs; i++) toX[i]! += g * weight[start + i]!;
  }
  return toX;
}
