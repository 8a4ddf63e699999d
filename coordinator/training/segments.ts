import type { SampleSet, SegmentStep } from "../../proto/operations.ts";
import { stepMessageBytes } from "../../proto/train-run-codec.ts";

/** What a segment may be. The bits of a run do not depend on it. */
export interface SegmentLimits {
  /** Multiplications and additions, about: a minute's work on two cores, which is what the loss of a worker costs; much less, and giving the state back would take as long as the steps. */
  readonly flop: number;
  /** Of its operation, which must fit into a message. */
  readonly messageBytes: number;
}

export const SEGMENT_LIMITS: SegmentLimits = { flop: 2e13, messageBytes: 2 * 1024 ** 2 };

/** How many of the steps, of which there is at least one, make the next segment: as many as stay within the limits, and at least one. */
export function segmentLength(
  steps: readonly SegmentStep[],
  set: SampleSet,
  trainedWeights: number,
  limits: SegmentLimits = SEGMENT_LIMITS,
): number {
  let [flop, bytes] = [0, 0];
  for (const [index, step] of steps.entries()) {
    // A token meets each weight twice forward and four times backward; a loss of vectors costs a second forward pass.
    flop += paddedTokens(step, set) * trainedWeights * (step.kind === "vectors" ? 8 : 6);
    bytes += stepMessageBytes(step);
    if (index > 0 && (flop > limits.flop || bytes > limits.messageBytes)) return index;
  }
  return steps.length;
}

function paddedTokens({ microBatches }: SegmentStep, { rows, secondRows }: SampleSet): number {
  let tokens = 0;
  for (const { rows: own } of microBatches) {
    for (const snippets of secondRows ? [rows, secondRows] : [rows]) {
      const longest = own.reduce((most, row) => Math.max(most, snippets[row]?.length ?? 0), 0);
      tokens += own.length * longest;
    }
  }
  return tokens;
}
