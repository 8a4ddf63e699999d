import type { Contents } from "../contents.ts";
import { type Dim, formatShape, type Shape } from "../dims.ts";
import type { DType } from "../dtype.ts";
import { GraphError } from "../errors.ts";
import type { AttributeValue, Node, Value } from "../ir.ts";
import type { Tensor } from "../tensor.ts";

/** onnxruntime's own operators (fused forms); only there, never in ONNX. */
export const MICROSOFT = "com.microsoft";

/** One input of an operator, named as in the ONNX specification. */
export interface Parameter {
  readonly name: string;
  readonly dtypes: readonly DType[];
  /** Inputs with the same type variable have the same dtype. */
  readonly typeVariable?: string;
  readonly optional?: boolean;
  /** The last parameter may be given many times. */
  readonly variadic?: boolean;
}

export type AttributeKind = "int" | "float" | "string" | "ints" | "dtype" | "tensor";

export interface Operator {
  /** Absent: the ONNX operator set. */
  readonly domain?: typeof MICROSOFT;
  readonly parameters: readonly Parameter[];
  readonly attributes?: Readonly<Record<string, AttributeKind>>;
  /** Result types and shapes; inputs and attributes have been checked against the lists above. */
  readonly infer: (call: InferContext) => readonly Result[];
}

export interface Result {
  readonly dtype: DType;
  readonly shape: Shape;
}

type Call = Omit<Node, "outputs">;

export function parameter(
  name: string,
  dtypes: readonly DType[],
  typeVariable?: string,
  rest: Pick<Parameter, "optional" | "variadic"> = {},
): Parameter {
  return { name, dtypes, typeVariable, ...rest };
}

/** What an operator's shape rule sees of its node, with errors that name operator, node and dimension. */
export class InferContext {
  readonly operator: Operator;
  readonly node: Call;

  constructor(operator: Operator, node: Call) {
    this.operator = operator;
    this.node = node;
  }

  get inputs(): readonly (Value | null)[] {
    return this.node.inputs;
  }

  /** A required input. */
  x(index: number): Value {
    return this.node.inputs[index]!;
  }

  optional(index: number): Value | undefined {
    return this.node.inputs[index] ?? undefined;
  }

  int(name: string, otherwise: number): number {
    return (this.node.attributes[name] as number | undefined) ?? otherwise;
  }

  string(name: string, otherwise: string): string {
    return (this.node.attributes[name] as string | undefined) ?? otherwise;
  }

  ints(name: string): readonly number[] | undefined {
    return this.node.attributes[name] as readonly number[] | undefined;
  }

  tensor(name: string): Tensor | undefined {
    return this.node.attributes[name] as Tensor | undefined;
  }

  /** The known elements of an integer input; an error where they are not known. */
  contents(index: number): Contents {
    const { contents } = this.x(index);
    if (contents === undefined) this.fail(`the elements of ${this.describe(index)} are not known in advance`);
    return contents;
  }

  /** As `contents`, but all must be numbers (axes, sizes). */
  numbers(index: number): readonly number[] {
    return this.contents(index).map((element) => {
      if (typeof element === "string") this.fail(`${this.describe(index)} holds the symbol '${element}'`);
      return element;
    });
  }

  /** An axis counted from the front; an error where the tensor has no such axis. */
  axis(axis: number, rank: number, of = "the result"): number {
    if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
      this.fail(`axis ${axis} does not exist in ${of} of rank ${rank}`);
    }
    return axis < 0 ? axis + rank : axis;
  }

  describe(index: number): string {
    const { parameters } = this.operator;
    const { name } = parameters[Math.min(index, parameters.length - 1)]!;
    const value = this.x(index);
    return `${name} = '${value.name}' ${formatShape(value.shape)}`;
  }

  /** The dimension of an input, in words. */
  describeDim(index: number, axis: number): string {
    return `${this.x(index).shape[axis]} (axis ${axis} of ${this.describe(index)})`;
  }

  expectRank(index: number, least: number, most = Number.POSITIVE_INFINITY): void {
    const rank = this.x(index).shape.length;
    if (rank >= least && rank <= most) return;
    const wanted =
      most === least
        ? `${least}`
        : most === Number.POSITIVE_INFINITY
          ? `at least ${least}`
          : `${least} to ${most}`;
    this.fail(`${this.describe(index)} has rank ${rank}, expected ${wanted}`);
  }

  expectDim(index: number, axis: number, expected: Dim, why: string): void {
    if (this.x(index).shape[axis] !== expected) {
      this.fail(`dimension ${this.describeDim(index, axis)} is not ${expected}, ${why}`);
    }
  }

  fail(reason: string): never {
    throw new GraphError(this.node.opType, this.node.name, reason);
  }
}

/** Count, presence and dtype of the inputs. */
export function checkInputs({ parameters }: Operator, { opType, name, inputs }: Call): void {
  const fail = (reason: string): never => {
    throw new GraphError(opType, name, reason);
  };
  const last = parameters.at(-1)!;
  if (inputs.length > parameters.length && !last.variadic) {
    fail(`has ${inputs.length} inputs, at most ${parameters.length} are allowed`);
  }
  const bound = new Map<string, Value>();
  for (let index = 0; index < Math.max(inputs.length, parameters.length); index++) {
    const parameter = parameters[index] ?? last;
    const input = inputs[index] ?? null;
    if (input === null) {
      if (!parameter.optional) fail(`input ${index} (${parameter.name}) is missing`);
      continue;
    }
    if (!parameter.dtypes.includes(input.dtype)) {
      const wanted = parameter.dtypes.join(", ");
      fail(`${parameter.name} = '${input.name}' is ${input.dtype}, expected ${wanted}`);
    }
    if (parameter.typeVariable === undefined) continue;
    const first = bound.get(parameter.typeVariable);
    if (first === undefined) bound.set(parameter.typeVariable, input);
    else if (first.dtype !== input.dtype) {
      fail(`'${first.name}' is ${first.dtype} but ${parameter.name} = '${input.name}' is ${input.dtype}`);
    }
  }
}

/** Names and kinds of the attributes; which of them an operator needs is said by its shape rule. */
export function checkAttributes({ attributes = {} }: Operator, node: Call): void {
  for (const [name, value] of Object.entries(node.attributes)) {
    const kind = Object.hasOwn(attributes, name) ? attributes[name] : undefined;
    if (kind === undefined) throw new GraphError(node.opType, node.name, `has no attribute '${name}'`);
    if (!fits(kind, value)) {
      throw new GraphError(node.opType, node.name, `attribute '${name}' is not of kind ${kind}`);
    }
  }
}

function fits(kind: AttributeKind, value: AttributeValue): boolean {
  switch (kind) {
    case "int":
      return Number.isInteger(value);
    case "float":
      return typeof value === "number";
    case "string":
    case "dtype":
      return typeof value === "string";
    case "ints":
      return Array.isArray(value) && value.every(Number.isInteger);
    case "tensor":
      return typeof value === "object" && "data" in value;
  }
}
