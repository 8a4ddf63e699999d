import { type Contents, contentsOf, contentsOfTensor } from "./contents.ts";
import { canonicalDim, type Dim, formatShape, isSymbol, type Shape } from "./dims.ts";
import type { DType } from "./dtype.ts";
import { GraphError } from "./errors.ts";
import { inferNode, type OpType } from "./operators.ts";
import { type Tensor, tensorBytes } from "./tensor.ts";

/** One tensor of a graph. Values are immutable and belong to the graph that made them. */
export interface Value {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly graph: Graph;
  /** What is known of the elements of a small integer tensor (shapes, axes, bounds); see contents.ts. */
  readonly contents?: Contents;
}

/** "ints" is an array, "dtype" the target of a Cast, "tensor" the value of a ConstantOfShape. */
export type AttributeValue = number | string | readonly number[] | Tensor;
export type Attributes = Readonly<Record<string, AttributeValue>>;

export interface Node {
  readonly opType: OpType;
  readonly name: string;
  /** null: an optional input that is left out. */
  readonly inputs: readonly (Value | null)[];
  readonly outputs: readonly Value[];
  readonly attributes: Attributes;
}

/** Where a weight's little-endian elements lie: bytes of a file in the folder of the program. */
export interface WeightLocation {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** Everything that a program consists of; `verify` says whether it is legal, `encodeOnnx` writes it. */
export interface GraphParts {
  readonly inputs: readonly Value[];
  readonly constants: readonly { readonly value: Value; readonly tensor: Tensor }[];
  readonly weights: readonly { readonly value: Value; readonly location: WeightLocation }[];
  /** In an order in which they can run. */
  readonly nodes: readonly Node[];
  readonly outputs: readonly Value[];
}

/**
 * A graph of ONNX operators under construction. Every node is shape-checked as it is added. Operators are pure, so
 * asking again for the same operator on the same inputs returns the node that is there; constants are shared alike.
 */
export class Graph implements GraphParts {
  readonly inputs: Value[] = [];
  readonly constants: { value: Value; tensor: Tensor }[] = [];
  readonly weights: { value: Value; location: WeightLocation }[] = [];
  readonly nodes: Node[] = [];
  readonly outputs: Value[] = [];

  readonly #names = new Set<string>();
  readonly #known = new Map<string, Node>();
  readonly #knownConstants = new Map<string, Value>();
  readonly #producers = new Map<string, Node>();
  readonly #symbols = new Map<string, { value: Value; axis: number }>();
  #scope = "";
  #counter = 0;

  /** A tensor fed at each run. Dimensions are numbers or plain symbols ("B"). */
  input(name: string, dtype: DType, shape: Shape): Value {
    const odd = shape.find((dim) => typeof dim === "string" && !isSymbol(dim));
    if (odd !== undefined) throw new GraphError("input", name, `dimension '${odd}' is not a plain symbol`);
    const value = this.#define(name, dtype, shape);
    this.inputs.push(value);
    return value;
  }

  /** A small tensor that is part of the program. */
  constant(tensor: Tensor): Value {
    const bytes = Buffer.from(tensorBytes(tensor)).toString("base64");
    const key = `${tensor.dtype} ${formatShape(tensor.shape)} ${bytes}`;
    const known = this.#knownConstants.get(key);
    if (known !== undefined) return known;
    const name = `constant_${this.constants.length}`;
    const value = this.#define(name, tensor.dtype, tensor.shape, contentsOfTensor(tensor));
    this.constants.push({ value, tensor });
    this.#knownConstants.set(key, value);
    return value;
  }

  /** A tensor whose elements stay where they are, in a checkpoint file (ONNX external data). */
  weight(name: string, dtype: DType, shape: readonly number[], location: WeightLocation): Value {
    const value = this.#define(name, dtype, shape);
    this.weights.push({ value, location });
    return value;
  }

  /** Adds a node (or finds the equal one) and returns its outputs; throws GraphError where it is not legal. */
  op(opType: OpType, inputs: readonly (Value | null)[], attributes: Attributes = {}): readonly Value[] {
    const key = nodeKey(opType, inputs, attributes);
    const known = this.#known.get(key);
    if (known !== undefined) return known.outputs;
    return this.#append(opType, this.#fresh(opType), inputs, attributes, key).outputs;
  }

  /** Names a result of the program. */
  output(name: string, value: Value): Value {
    const node = this.#append("Identity", `output/${name}`, [value], {}, undefined, name);
    const result = node.outputs[0]!;
    this.outputs.push(result);
    return result;
  }

  /** The names of nodes added inside `build` begin with `name/`, so that errors say where they are. */
  scope<T>(name: string, build: () => T): T {
    const outer = this.#scope;
    this.#scope = `${outer}${name}/`;
    try {
      return build();
    } finally {
      this.#scope = outer;
    }
  }

  /** The node that computes a value; undefined for inputs, constants and weights. */
  producer(value: Value): Node | undefined {
    return this.#producers.get(value.name);
  }

  /** A value and an axis whose length is this symbol when the program runs. */
  symbolSource(symbol: string): { readonly value: Value; readonly axis: number } {
    const source = this.#symbols.get(symbol);
    if (source === undefined) throw new GraphError("Shape", symbol, `no value has a dimension '${symbol}'`);
    return source;
  }

  #append(
    opType: OpType,
    name: string,
    inputs: readonly (Value | null)[],
    attributes: Attributes,
    key?: string,
    outputName?: string,
  ): Node {
    const stranger = inputs.find((input) => input !== null && input.graph !== this);
    if (stranger) throw new GraphError(opType, name, `input '${stranger.name}' belongs to another graph`);
    const results = inferNode({ opType, name, inputs, attributes });
    const contents = contentsOf({ opType, inputs, attributes, result: results[0]! });
    const outputs = results.map(({ dtype, shape }, index) =>
      this.#define(outputName ?? `${name}:${index}`, dtype, shape, index === 0 ? contents : undefined),
    );
    const node: Node = { opType, name, inputs, outputs, attributes };
    this.nodes.push(node);
    for (const output of outputs) this.#producers.set(output.name, node);
    if (key !== undefined) this.#known.set(key, node);
    return node;
  }

  #define(name: string, dtype: DType, dims: Shape, contents?: Contents): Value {
    if (name === "" || this.#names.has(name)) {
      throw new GraphError("value", name, "names of values are not empty and not used twice");
    }
    const shape: readonly Dim[] = Object.freeze(dims.map(canonicalDim));
    const value: Value = { name, dtype, shape, graph: this, contents };
    // Out of sight of printers and deep comparisons, which would walk the whole graph.
    Object.defineProperty(value, "graph", { enumerable: false });
    this.#names.add(name);
    for (const [axis, dim] of shape.entries()) {
      if (isSymbol(dim) && !this.#symbols.has(dim)) this.#symbols.set(dim, { value, axis });
    }
    return value;
  }

  #fresh(opType: OpType): string {
    return `${this.#scope}${opType}_${this.#counter++}`;
  }
}

function nodeKey(opType: string, inputs: readonly (Value | null)[], attributes: Attributes): string {
  const sorted = Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  const described = sorted.map(([name, value]) => [
    name,
    typeof value === "object" && "data" in value ? [value.dtype, [...tensorBytes(value)]] : value,
  ]);
  return JSON.stringify([opType, inputs.map((input) => input?.name ?? null), described]);
}
