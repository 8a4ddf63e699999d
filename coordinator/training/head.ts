import type { Tensor } from "../../proto/operations.ts";
import { denseHead } from "./dense-head.ts";
import { linearHead } from "./linear-head.ts";

/**
 * A classification head, trained on cached features: forward and backward in float64 from float32 weights. The encoder takes no part, so
 * an epoch costs next to nothing.
 */
export interface Head {
  /** By the checkpoint's tensor names; changed in place by training. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** One row's logits [classes], and what `backward` needs to know of the way there. */
  forward(features: Float32Array): Activations;
  /** Adds the rows' gradients, in their order; `into` has an array for each weight. */
  backward(rows: readonly LogitSlope[], into: ReadonlyMap<string, Float64Array>): void;
}

/** A row's ∂loss/∂logits [classes]. */
export interface LogitSlope {
  readonly activations: Activations;
  readonly slope: Float64Array;
}

export interface Activations {
  /** The features [features]. */
  readonly input: Float64Array;
  readonly logits: Float64Array;
  /** Output of the inner layer [hidden]; empty where there is none. */
  readonly hidden: Float64Array;
}

/** Names of a head's tensors, as the checkpoint's layout has them. */
export type HeadTensors =
  /** dense [hidden, features], tanh, out_proj [classes, hidden]: RoBERTa's and T5's. */
  | {
      readonly kind: "dense";
      readonly denseWeight: string;
      readonly denseBias: string;
      readonly outWeight: string;
      readonly outBias: string;
    }
  /** One layer [classes, features] without bias: GPT-BigCode's `score`. */
  | { readonly kind: "linear"; readonly weight: string };

export const headNames = ({ kind, ...names }: HeadTensors): string[] => Object.values(names);

/** @param weights tensors of which those that `names` names are the head's; copied */
export function createHead(names: HeadTensors, weights: ReadonlyMap<string, Pick<Tensor, "data">>): Head {
  const copy = (name: string): Float32Array => {
    const tensor = weights.get(name);
    if (!tensor) throw new Error(`the head's tensor '${name}' is missing`);
    return Float32Array.from(tensor.data);
  };
  const own = new Map(headNames(names).map((name) => [name, copy(name)]));
  return names.kind === "dense" ? denseHead(names, own) : linearHead(names, own);
}
