/**
 * A loss landscape without a model: every logit, gradient and ranking is a fixed function of the operation alone, so that searches over it make
 * the plans of real ones. A trigger's tokens add up, as they about do in models; samples differ in how hard they are and how much they heed the trigger.
 */
import type { Operation, TensorMap } from "../../proto/operations.ts";

/** Ids of the vocabulary: 0 … size − 1. A power of two, so that any odd stride visits all of them. */
export const LANDSCAPE_VOCABULARY = 4096;

/** What an operation's result would be. @param hidden width of gradients: it decides how large messages are */
export function landscapeAnswer(operation: Operation, hidden: number): TensorMap {
  switch (operation.kind) {
    case "score": {
      const { samples, sample, triggers } = operation;
      const seed = seedOf(samples);
      const data = Float32Array.from(triggers, (trigger) => logitOf(seed, sample, trigger));
      return { logits: { shape: [triggers.length, 1], data } };
    }
    case "gradient": {
      const { samples, rows, trigger } = operation;
      const seed = seedOf(samples);
      const gradient = new Float32Array(rows.length * trigger.length * hidden);
      for (let k = 0; k < gradient.length; k++) gradient[k] = uniformOf(seed, trigger[0]!, rows[0]!, k) - 0.5;
      return {
        gradient: { shape: [rows.length, trigger.length, hidden], data: gradient },
        logits: {
          shape: [rows.length, 1],
          data: Float32Array.from(rows, (row) => logitOf(seed, row, trigger)),
        },
      };
    }
    case "rank": {
      const { gradient, topk } = operation;
      const ids = gradient.flatMap((row) => {
        const first = mix(Math.round(row[0]! * 2 ** 20), row.length);
        const stride = mix(first, 1) | 1;
        return Array.from({ length: topk }, (_, k) => (first + k * stride) & (LANDSCAPE_VOCABULARY - 1));
      });
      const shape = [gradient.length, topk];
      return {
        ids: { shape, data: Int32Array.from(ids) },
        values: { shape, data: new Float32Array(ids.length) },
      };
    }
    default:
      throw new Error(`the landscape has no answer to ${operation.kind}`);
  }
}

/** The higher, the further from label 0. */
function logitOf(seed: number, sample: number, trigger: readonly number[]): number {
  const hardness = 5 * uniformOf(seed, sample, 0, 1);
  const heed = 0.5 + uniformOf(seed, sample, 0, 2);
  let pull = 0;
  for (const id of trigger)
    pull += 1.5 * (uniformOf(seed, id, 0, 3) - 0.5) + 0.5 * (uniformOf(seed, id, sample, 4) - 0.5);
  return hardness + heed * pull - 1;
}

const seedOf = (digest: string): number => Number.parseInt(digest.slice(0, 8), 16);

const uniformOf = (a: number, b: number, c: number, d: number): number =>
  (mix(mix(mix(a, b), c), d) >>> 0) / 2 ** 32;

/** Two 32-bit integers to one, as MurmurHash3 finishes. */
function mix(a: number, b: number): number {
  let h = Math.imul(a ^ Math.imul(b + 0x9e3779b9, 0x85ebca6b), 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
