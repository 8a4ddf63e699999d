/** Why a search ended: all its steps are done, the loss is low enough, it did not fall any more, no candidate is left, or the replayed trace is. */
export type SearchEnd = "epochs" | "target_loss" | "patience" | "exhausted" | "replayed";

/** When a search ends before it runs out of candidates. */
export interface EndSettings {
  readonly epochs: number;
  readonly patience: number;
  readonly targetLoss: number;
}

/** A search before its next step: steps done, and the best winner so far with the step that found it. */
interface Standing {
  readonly step: number;
  readonly best: { readonly step: number; readonly loss: number } | null;
}

/**
 * Why a search makes no further step; null where it goes on. Follows from the state alone, so a search that is continued elsewhere ends at the same step.
 *
 * @param replayedSteps steps of the trace that it follows, which are all made whatever the loss; absent: it draws its own
 */
export function endOf(
  { step, best }: Standing,
  { epochs, patience, targetLoss }: EndSettings,
  replayedSteps?: number,
): SearchEnd | null {
  if (replayedSteps !== undefined && step >= replayedSteps) return "replayed";
  if (step >= epochs) return "epochs";
  if (best === null || replayedSteps !== undefined) return null;
  if (targetLoss > 0 && best.loss <= targetLoss) return "target_loss";
  // Steps are counted from 0: step − 1 is the last one that was made.
  if (patience > 0 && step - 1 - best.step >= patience) return "patience";
  return null;
}
