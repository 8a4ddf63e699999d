import { MissingGradientError } from "../errors.ts";
import type { Value } from "../ir.ts";
import { add, cast, exp, mul, sub } from "../ops/elementwise.ts";
import { fromFront } from "../ops/operand.ts";
import { reduceMean, reduceSum } from "../ops/reduction.ts";
import { sumToShape } from "../sum-to-shape.ts";
import { type Forward, type Rule, setting, type Vjp } from "./rule.ts";

interface Normalized {
  readonly x: Value;
  readonly scale: Value;
  readonly bias: Value | null;
  readonly axis: number;
  readonly epsilon: number;
}

/** (x − mean) / deviation and 1 / deviation, from the statistics that the LayerNormalization of x puts out. */
function standardized({ x, scale, bias, axis, epsilon }: Normalized) {
  // The same node as in the forward pass, where there is one.
  const inputs = bias === null ? [x, scale] : [x, scale, bias];
  const [, mean, inverseDeviation] = x.graph.op("LayerNormalization", inputs, { axis, epsilon });
  const hat = mul(sub(cast(x, mean!.dtype), mean!), inverseDeviation!);
  return { hat, inverseDeviation: inverseDeviation! };
}

/** Toward x: (g·scale less its mean and its projection on x̂) / deviation, over the normalised axes. */
export function towardInput(g: Value, normalized: Normalized): Value {
  const { hat, inverseDeviation } = standardized(normalized);
  const rank = normalized.x.shape.length;
  const first = fromFront(normalized.axis, rank);
  const axes = Array.from({ length: rank - first }, (_, offset) => first + offset);
  const scaled = cast(mul(g, normalized.scale), hat.dtype);
  const projection = mul(hat, reduceMean(mul(scaled, hat), axes, true));
  const dx = mul(inverseDeviation, sub(sub(scaled, reduceMean(scaled, axes, true)), projection));
  return cast(dx, g.dtype);
}

export function towardScale(g: Value, normalized: Normalized): Value {
  const { hat } = standardized(normalized);
  return sumToShape(mul(g, cast(hat, g.dtype)), normalized.scale.shape);
}

const layer = ({ node, x: [x, scale], attributes }: Forward): Normalized => ({
  x,
  scale,
  bias: node.inputs[2] ?? null,
  axis: setting(attributes, "axis", -1),
  epsilon: setting(attributes, "epsilon", 1e-5),
});

const skipped = ({ node, x: [input, skip, scale], attributes }: Forward): Normalized => {
  const [, , , beta, bias] = node.inputs;
  const sum = add(input, skip);
  return {
    x: bias ? add(sum, bias) : sum,
    scale,
    bias: beta ?? null,
    axis: -1,
    epsilon: setting(attributes, "epsilon", 1e-12),
  };
};

/** The mean and deviation results are there for the backward pass, not to be differentiated. */
const onlyFirstResult =
  (rule: Rule): Rule =>
  (g, forward, input) => {
    if (forward.flowsInto(1) || forward.flowsInto(2)) {
      throw new MissingGradientError("LayerNormalization", forward.node.name, "toward its mean or deviation");
    }
    return rule(g, forward, input);
  };

const towardSkip: Rule = (g, forward) => towardInput(g, skipped(forward));

export const normalization = {
  Softmax: [
    (g, { y: [y], attributes }) =>
      mul(y, sub(g, reduceSum(mul(g, y), [setting(attributes, "axis", -1)], true))),
  ],
  LogSoftmax: [
    (g, { y: [y], attributes }) => sub(g, mul(exp(y), reduceSum(g, [setting(attributes, "axis", -1)], true))),
  ],
  LayerNormalization: [
    onlyFirstResult((g, forward) => towardInput(g, layer(forward))),
    onlyFirstResult((g, forward) => towardScale(g, layer(forward))),
    onlyFirstResult((g, { x: [, , bias] }) => sumToShape(g, bias.shape)),
  ],
  SkipLayerNormalization: [
    towardSkip,
    towardSkip,
    (g, forward) => towardScale(g, skipped(forward)),
    (g, { x: [, , , beta] }) => sumToShape(g, beta.shape),
    (g, forward) => sumToShape(towardInput(g, skipped(forward)), forward.x[4].shape),
  ],
} satisfies Record<string, Vjp>;
