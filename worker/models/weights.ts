import { cast, type DType, type Graph, gather, type Value } from "../graph/index.ts";
import { ModelError } from "./errors.ts";

/** Where a weight's elements lie, relative to the folder of the program. */
export interface StoredWeight {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** The weights of one program: each is either mapped from its checkpoint file or fed at every run. All come as float32. */
export interface Weights {
  /** A whole tensor. */
  get(name: string): Value;
  /** Rows of a matrix: `ids.shape + [columns]`. Only the rows are converted where the table is of another type. */
  lookup(name: string, ids: Value): Value;
}

/** Weights named in `fed` become inputs of the graph under their own names, the others stay where they are stored. */
export function weightsOf(
  graph: Graph,
  stored: ReadonlyMap<string, StoredWeight>,
  fed: ReadonlySet<string> = new Set(),
): Weights {
  const known = new Map<string, Value>();
  const raw = (name: string): Value => {
    const found = known.get(name);
    if (found !== undefined) return found;
    const weight = stored.get(name);
    if (weight === undefined) throw new ModelError("weights", name, "there is no such tensor");
    const { dtype, shape, file, offset, length } = weight;
    const value = fed.has(name)
      ? graph.input(name, "float32", shape)
      : graph.weight(name, dtype, shape, { file, offset, length });
    known.set(name, value);
    return value;
  };
  return {
    get: (name) => cast(raw(name), "float32"),
    lookup: (name, ids) => cast(gather(raw(name), ids), "float32"),
  };
}
