import type { DType } from "../dtype.ts";
import type { Graph, Value } from "../ir.ts";
import { tensor } from "../tensor.ts";

/** A value, or a number that becomes a scalar constant of the other operand's dtype. */
export type Operand = Value | number;

export const scalar = (graph: Graph, value: number, dtype: DType): Value =>
  graph.constant(tensor(dtype, [], [value]));

/** A constant int64 vector: axes, sizes, bounds. */
export const int64s = (graph: Graph, values: readonly number[]): Value =>
  graph.constant(tensor("int64", [values.length], values));

/** The operands as values of one graph. */
export function asValues(operands: readonly Operand[]): readonly Value[] {
  const like = operands.find((operand) => typeof operand !== "number");
  if (like === undefined) throw new TypeError("at least one operand must be a value of a graph");
  return operands.map((operand) =>
    typeof operand === "number" ? scalar(like.graph, operand, like.dtype) : operand,
  );
}

/** The single result of a node on these operands. */
export function apply(opType: Parameters<Graph["op"]>[0], operands: readonly Operand[]): Value {
  const values = asValues(operands);
  return values[0]!.graph.op(opType, values)[0]!;
}

/** An axis counted from the front. */
export const fromFront = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
