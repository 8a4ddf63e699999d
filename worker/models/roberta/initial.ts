import type { Initial } from "../architecture.ts";
import type { RobertaConfig } from "./config.ts";

/**
 * As Hugging Face initialises RoBERTa: matrices normal, biases 0, LayerNorm weights 1, the pad row of the word vectors 0. Position
 * embeddings start at 0, which small models trained from scratch need to learn at all.
 */
export function initialRoberta({ initializerRange, padId }: RobertaConfig, name: string): Initial {
  if (name.endsWith("LayerNorm.weight")) return { kind: "constant", value: 1 };
  if (name.endsWith("bias") || name.includes("position_embeddings")) return { kind: "constant", value: 0 };
  const zeroRow = name.includes("word_embeddings") ? { zeroRow: padId } : {};
  return { kind: "normal", deviation: initializerRange, ...zeroRow };
}
