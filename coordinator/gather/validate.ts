import type { Operation, Tensor, TensorMap } from "../../proto/operations.ts";

/** A number: exactly that many; a name: any number from 1 up, the same for every use of the name. */
type Dim = number | string;
type DType = "f32" | "f64" | "i32";
type Expected = Readonly<Record<string, readonly [DType, readonly Dim[]]>>;

/**
 * What is wrong with an operation's result, or undefined: names, dtypes, shapes (those that the operation fixes) and
 * finite numbers. Whether the numbers are right only another worker could tell.
 */
export function findFault(operation: Operation, tensors: TensorMap): string | undefined {
  const expected = expectedTensors(operation);
  const dims = new Map<string, number>();
  for (const [name, [dtype, shape]] of Object.entries(expected)) {
    const tensor = tensors[name];
    if (!tensor) return `tensor '${name}' is missing`;
    const fault = findShapeFault(tensor, { dtype, shape, dims });
    if (fault) return `tensor '${name}' ${fault}`;
  }
  for (const [name, tensor] of Object.entries(tensors)) {
    const known = name in expected;
    if (!known && operation.kind !== "train-step") return `tensor '${name}' was not asked for`;
    const fault = (known ? undefined : findGradientFault(name, tensors)) ?? findNumberFault(tensor);
    if (fault) return `tensor '${name}' ${fault}`;
  }
  if (operation.kind === "train-step" && Object.keys(tensors).length < 2) return "there is no gradient";
  return undefined;
}

/** The table of `TensorMap` in `operations.ts`. */
function expectedTensors(operation: Operation): Expected {
  switch (operation.kind) {
    case "score":
      return { logits: ["f32", [operation.triggers.length, "classes"]] };
    case "gradient": {
      const rows = operation.rows.length;
      return {
        gradient: ["f32", [rows, operation.trigger.length, "hidden"]],
        ...answers(rows, operation.objective.kind),
      };
    }
    case "rank": {
      // A vocabulary that is smaller than topk gives fewer columns.
      const shape = [operation.gradient.length, "topk"];
      return { ids: ["i32", shape], values: ["f32", shape] };
    }
    case "encode":
      return { features: ["f32", [operation.rows.length * (operation.triggers?.length ?? 1), "features"]] };
    case "score-pairs":
      return { sums: ["f64", [operation.pairs.length]] };
    case "predict":
      return answers(operation.rows.length, "label");
    case "train-step":
      return answers(operation.rows.length, operation.objective.kind);
    case "train-run": {
      const { length } = operation.steps;
      return { losses: ["f64", [length]], norms: ["f64", [length]] };
    }
  }
}

/** What a network says of each row, by what its loss is made of. */
const answers = (rows: number, objective: "label" | "labels" | "logits" | "vectors"): Expected =>
  objective === "vectors"
    ? { features: ["f32", [rows, "features"]] }
    : { logits: ["f32", [rows, "classes"]] };

function dtypeOf({ data }: Tensor): DType {
  if (data instanceof Int32Array) return "i32";
  return data instanceof Float64Array ? "f64" : "f32";
}

function findShapeFault(
  tensor: Tensor,
  {
    dtype,
    shape,
    dims,
  }: { readonly dtype: DType; readonly shape: readonly Dim[]; readonly dims: Map<string, number> },
): string | undefined {
  if (dtypeOf(tensor) !== dtype) return `is not ${dtype}`;
  const fits =
    tensor.shape.length === shape.length &&
    shape.every((dim, axis) => {
      const size = tensor.shape[axis]!;
      if (typeof dim === "number") return size === dim;
      if (!dims.has(dim)) dims.set(dim, size);
      return size > 0 && dims.get(dim) === size;
    });
  if (fits) return undefined;
  const wanted = shape.map((dim) => (typeof dim === "string" ? (dims.get(dim) ?? dim) : dim));
  return `has shape [${tensor.shape.join(", ")}] instead of [${wanted.join(", ")}]`;
}

/** A gradient of some rows of a matrix goes with the list of those rows. */
function findGradientFault(name: string, tensors: TensorMap): string | undefined {
  if (!name.endsWith("#rows")) {
    const rows = tensors[`${name}#rows`];
    const counts = !rows || (tensors[name]!.shape.length === 2 && tensors[name]!.shape[0] === rows.shape[0]);
    return counts ? undefined : `has not as many rows as '${name}#rows'`;
  }
  const tensor = tensors[name]!;
  if (!(tensor.data instanceof Int32Array) || tensor.shape.length !== 1) return "is no list of rows";
  if (!tensors[name.slice(0, -"#rows".length)]) return "has no gradient beside it";
  return tensor.data.some((row) => row < 0) ? "holds a negative row" : undefined;
}

function findNumberFault({ data, shape }: Tensor): string | undefined {
  const elements = shape.reduce((product, dim) => product * dim, 1);
  if (data.length !== elements) return `has ${data.length} elements instead of ${elements}`;
  if (data instanceof Int32Array) return undefined;
  for (let i = 0; i < data.length; i++) {
    if (!Number.isFinite(data[i])) return `holds ${data[i]} at ${i}`;
  }
  return undefined;
}
