import { addDims, type Dim, mulDims, type Shape, subDims } from "./dims.ts";
import { type DType, INTEGERS } from "./dtype.ts";
import type { Attributes, Value } from "./ir.ts";
import type { Tensor } from "./tensor.ts";

/**
 * The elements of a small integer tensor of rank 0 or 1, as far as they are known while the graph is built: numbers or
 * symbolic dimensions. This is how a Reshape to a computed shape still has a checked result shape (ONNX calls it
 * partial data propagation).
 */
export type Contents = readonly Dim[];

const MAX_ELEMENTS = 64;

export function contentsOfTensor({ dtype, shape, data }: Tensor): Contents | undefined {
  if (!INTEGERS.includes(dtype) || shape.length > 1 || data.length > MAX_ELEMENTS) return undefined;
  return Array.from(data, Number);
}

interface Call {
  readonly opType: string;
  readonly inputs: readonly (Value | null)[];
  readonly attributes: Attributes;
  readonly result: { readonly dtype: DType; readonly shape: Shape };
}

/** What is known of a node's first output; undefined where nothing is. */
export function contentsOf({ opType, inputs, attributes, result }: Call): Contents | undefined {
  if (!INTEGERS.includes(result.dtype) || result.shape.length > 1) return undefined;
  const first = inputs[0];
  if (opType === "Shape" && first) {
    return first.shape.slice(Number(attributes.start ?? 0), Number(attributes.end ?? first.shape.length));
  }
  const known = inputs.map((input) => input?.contents);
  switch (opType) {
    case "Identity":
    case "Cast":
    case "Squeeze":
    case "Unsqueeze":
    case "Reshape":
      return known[0];
    case "Concat":
      return known.every((part) => part !== undefined) ? known.flat() : undefined;
    case "Add":
      return elementwise(addDims, known);
    case "Sub":
      return elementwise(subDims, known);
    case "Mul":
      return elementwise(mulDims, known);
    case "Gather":
      return gather(known);
    default:
      return undefined;
  }
}

function elementwise(
  apply: (a: Dim, b: Dim) => Dim,
  [a, b]: readonly (Contents | undefined)[],
): Contents | undefined {
  if (a === undefined || b === undefined) return undefined;
  const count = a.length === 1 ? b.length : a.length;
  return Array.from({ length: count }, (_, i) =>
    apply(a[a.length === 1 ? 0 : i]!, b[b.length === 1 ? 0 : i]!),
  );
}

function gather([data, indices]: readonly (Contents | undefined)[]): Contents | undefined {
  if (data === undefined || indices === undefined) return undefined;
  const picked = indices.map((index) => (typeof index === "number" ? data.at(index) : undefined));
  return picked.every((element) => element !== undefined) ? picked : undefined;
}
