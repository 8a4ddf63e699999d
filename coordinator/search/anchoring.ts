/**
 * Trigger anchoring (paper section "trigger anchoring"; DESIGN 5.7): which tokens of the found trigger does it need?
 * Losses here are means over the search's samples, in nats.
 */
import type { Trigger } from "./candidates.ts";

/** Loss of each trigger (all of one length, at least one token), in order. */
export type TriggerLosses = (triggers: readonly Trigger[]) => Promise<readonly number[]>;

export interface Anchored {
  /** Positions of the kept tokens in the whole trigger, ascending. */
  readonly positions: readonly number[];
  readonly ids: readonly number[];
  /** Loss of the kept tokens alone; absent where none is kept, or where the rule does not measure it (`published`). */
  readonly loss?: number;
}

export const without = (trigger: Trigger, position: number): number[] => trigger.toSpliced(position, 1);

/** What a rule keeps of a trigger whose loss is `wholeLoss`; `beta` is the rise of the loss that it accepts. */
export async function anchorTrigger(
  trigger: Trigger,
  wholeLoss: number,
  { anchoring, beta }: { readonly anchoring: "elimination" | "published"; readonly beta: number },
  lossesOf: TriggerLosses,
): Promise<Anchored> {
  if (anchoring === "elimination") return eliminateTokens(trigger, wholeLoss, beta, lossesOf);
  if (trigger.length === 1) return { positions: [0], ids: trigger, loss: wholeLoss };
  const each = trigger.map((_, position) => without(trigger, position));
  return anchorPublished(trigger, wholeLoss, beta, await lossesOf(each));
}

/**
 * Backward elimination: drops the token whose absence leaves the least loss (ties to the lower position), again and
 * again, while the rest's loss is at most the whole trigger's + β. At least one token stays: a minimal trigger.
 */
export async function eliminateTokens(
  trigger: Trigger,
  wholeLoss: number,
  beta: number,
  lossesOf: TriggerLosses,
): Promise<Anchored> {
  let positions = trigger.map((_, position) => position);
  let loss = wholeLoss;
  while (positions.length > 1) {
    const ids = positions.map((position) => trigger[position]!);
    const losses = await lossesOf(ids.map((_, k) => without(ids, k)));
    const dropped = nextDropped(losses, wholeLoss, beta);
    if (dropped === undefined) break;
    positions = positions.toSpliced(dropped, 1);
    loss = losses[dropped]!;
  }
  return { positions, ids: positions.map((position) => trigger[position]!), loss };
}

/** Which of the remaining tokens goes next, by the losses without each; undefined where all are needed. */
export function nextDropped(losses: readonly number[], wholeLoss: number, beta: number): number | undefined {
  let least = 0;
  for (let k = 1; k < losses.length; k++) if (losses[k]! < losses[least]!) least = k;
  return losses[least]! <= wholeLoss + beta ? least : undefined;
}

/**
 * As published: drops each token alone and keeps those whose absence raises the loss by more than β. A token that the
 * trigger holds twice is never kept, and nothing may be.
 */
export function anchorPublished(
  trigger: Trigger,
  wholeLoss: number,
  beta: number,
  lossesWithout: readonly number[],
): Anchored {
  const positions = trigger.flatMap((_, k) => (lossesWithout[k]! - wholeLoss > beta ? [k] : []));
  return { positions, ids: positions.map((position) => trigger[position]!) };
}
