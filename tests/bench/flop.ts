import type { RobertaConfig } from "../../worker/models/roberta/config.ts";

/**
 * Floating-point operations (a multiplication and an addition are two) of the matrix products of one row of `tokens` through a RoBERTa
 * classifier, as elibad computes it: the last layer's queries, output and feed-forward part for the first token only. What is not a matrix
 * product (softmax, LayerNorm, GELU) is left out, as is usual.
 */
export function forwardFlop(config: RobertaConfig, tokens: number): number {
  const layers = Array.from({ length: config.layers }, (_, layer) =>
    layerFlop(config, { queries: layer === config.layers - 1 ? 1 : tokens, keys: tokens }),
  );
  const head = 2 * config.hiddenSize ** 2 + 2 * config.hiddenSize;
  return layers.reduce((sum, flop) => sum + flop, head);
}

function layerFlop(
  { hiddenSize: h, intermediateSize: f }: RobertaConfig,
  { queries, keys }: { readonly queries: number; readonly keys: number },
): number {
  const keysAndValues = 2 * keys * 2 * h * h;
  const queriesAndOutput = 2 * queries * 2 * h * h;
  const attention = 2 * 2 * queries * keys * h;
  const feedForward = 2 * queries * 2 * h * f;
  return keysAndValues + queriesAndOutput + attention + feedForward;
}
