import type { Initial } from "../architecture.ts";
import type { GptBigCodeConfig } from "./config.ts";

/**
 * As Hugging Face initialises GPT-BigCode: matrices normal, those that add to the residual stream less so the more layers there are,
 * biases 0, norm weights 1. Position embeddings start at 0, which small models trained from scratch need to learn at all.
 */
export function initialGptBigCode({ initializerRange, layers }: GptBigCodeConfig, name: string): Initial {
  if (/\.ln_[12f]\.weight$/.test(name)) return { kind: "constant", value: 1 };
  if (name.endsWith(".bias") || name.endsWith(".wpe.weight")) return { kind: "constant", value: 0 };
  const share = name.endsWith(".c_proj.weight") ? 1 / Math.sqrt(2 * layers) : 1;
  return { kind: "normal", deviation: initializerRange * share };
}
