import {
  add,
  bytesPerElement,
  cast,
  type DType,
  type Graph,
  gather,
  matMul,
  mul,
  slice,
  type Value,
} from "../graph/index.ts";
import { ModelError } from "./errors.ts";

/** Where a tensor's elements lie, relative to the folder of the program. */
export interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** A weight as it is stored: alone, or with a low-rank update (LoRA) that is to be added. */
export interface StoredWeight extends StoredTensor {
  readonly update?: LowRankUpdate<StoredTensor>;
}

/** scale · b · a, with `a` [r, in] and `b` [out, r]. */
export interface LowRankUpdate<T> {
  readonly a: T;
  readonly b: T;
  readonly scale: number;
}

/** The weights of one program: each is either mapped from its checkpoint file or fed at every run. All come as float32. */
export interface Weights {
  /** A whole tensor. */
  get(name: string): Value;
  /** Rows start ≤ i < end of a tensor; mapped ones are read from where they are stored. */
  rows(name: string, range: RowRange): Value;
  /** Rows of a matrix: `ids.shape + [columns]`. Only the rows are converted where the table is of another type. */
  lookup(name: string, ids: Value): Value;
}

export type RowRange = readonly [start: number, end: number];

/** Weights named in `fed` become inputs of the graph under their own names, the others stay where they are stored. */
export function weightsOf(
  graph: Graph,
  stored: ReadonlyMap<string, StoredWeight>,
  fed: ReadonlySet<string> = new Set(),
): Weights {
  const known = new Map<string, Value>();
  const once = (name: string, make: () => Value): Value => {
    const found = known.get(name) ?? make();
    known.set(name, found);
    return found;
  };
  const find = (name: string): StoredWeight => {
    const weight = stored.get(name);
    if (weight === undefined) throw new ModelError("weights", name, "there is no such tensor");
    return weight;
  };
  const raw = (name: string): Value =>
    once(name, () =>
      fed.has(name) ? graph.input(name, "float32", find(name).shape) : mapped(graph, name, find(name)),
    );
  const float = (name: string, tensor: StoredTensor): Value =>
    cast(
      once(name, () => mapped(graph, name, tensor)),
      "float32",
    );
  // Every operand is constant, so onnxruntime adds an update once, when it loads the program.
  const updated = (values: Value, at: string, name: string, update: LowRankUpdate<StoredTensor>): Value => {
    const product = matMul(float(`${at} update b`, update.b), float(`${name} update a`, update.a));
    return add(values, mul(product, update.scale));
  };
  return {
    get(name) {
      const { update } = find(name);
      const values = cast(raw(name), "float32");
      return fed.has(name) || update === undefined ? values : updated(values, name, name, update);
    },
    rows(name, range) {
      if (fed.has(name)) return slice(raw(name), 0, ...range);
      const weight = find(name);
      const at = `${name}[${range.join(":")}]`;
      const values = float(at, rowsOf(weight, range));
      const { update } = weight;
      return update === undefined
        ? values
        : updated(values, at, name, { ...update, b: rowsOf(update.b, range) });
    },
    lookup(name, ids) {
      if (find(name).update !== undefined && !fed.has(name)) {
        throw new ModelError(
          "weights",
          name,
          "a table that is looked up in has a LoRA update, which is not supported",
        );
      }
      return cast(gather(raw(name), ids), "float32");
    },
  };
}

const mapped = (graph: Graph, name: string, { dtype, shape, file, offset, length }: StoredTensor): Value =>
  graph.weight(name, dtype, shape, { file, offset, length });

/** Rows of a tensor lie one after the other. */
function rowsOf<T extends StoredTensor>(tensor: T, [start, end]: RowRange): T {
  const [, ...columns] = tensor.shape;
  const rowBytes = columns.reduce((product, size) => product * size, bytesPerElement[tensor.dtype]);
  return {
    ...tensor,
    shape: [end - start, ...columns],
    offset: tensor.offset + start * rowBytes,
    length: (end - start) * rowBytes,
  };
}
