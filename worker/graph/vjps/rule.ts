import type { Attributes, Node, Value } from "../ir.ts";
import { sumToShape } from "../sum-to-shape.ts";

/** Values by position; an operator's rule reads only the positions that its node has. */
export type Positions = readonly [Value, Value, Value, Value, Value];

/** What a rule sees of the forward node. */
export interface Forward {
  readonly node: Node;
  /** Inputs. An optional one that is left out must not be read. */
  readonly x: Positions;
  /** Outputs. */
  readonly y: Positions;
  readonly attributes: Attributes;
  /** The gradient flowing into an output: zeros where nothing flows. */
  readonly gradientOf: (output: number) => Value;
  readonly flowsInto: (output: number) => boolean;
}

/** From g, the gradient flowing into the first output, to the gradient of one input, of that input's shape and dtype. */
export type Rule = (g: Value, forward: Forward, input: number) => Value;

/** One rule per input, null for inputs that hold indices or shapes; or one rule for all inputs of a variadic operator. */
export type Vjp = Rule | readonly (Rule | null)[];

/** Rules that may leave the result in the broadcast shape. */
export const broadcasting = (...rules: readonly Rule[]): readonly Rule[] =>
  rules.map(
    (rule): Rule =>
      (g, forward, input) =>
        sumToShape(rule(g, forward, input), forward.x[input as 0].shape),
  );

/** A numeric attribute, or what ONNX takes where it is absent. */
export const setting = (attributes: Attributes, name: string, otherwise: number): number =>
  (attributes[name] as number | undefined) ?? otherwise;
