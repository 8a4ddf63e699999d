import type { Rng } from "./rng.ts";

/** Token ids of a trigger, in order. */
export type Trigger = readonly number[];

/** What one trigger changes in another of the same length: position, id, position, id, … */
export type TriggerDelta = readonly number[];

/** The triggers that a step drew, as changes to the trigger that it started from. */
export interface VisitedStep {
  readonly trigger: Trigger;
  readonly deltas: readonly TriggerDelta[];
}

/** Every trigger that was current at the start or was drawn, pruned ones too. */
export interface Visited {
  has(trigger: Trigger): boolean;
  add(trigger: Trigger): void;
}

export function createVisited(initial: Trigger, steps: readonly VisitedStep[]): Visited {
  const keys = new Set<string>();
  const add = (trigger: Trigger): void => void keys.add(trigger.join());
  add(initial);
  for (const { trigger, deltas } of steps) for (const delta of deltas) add(applyDelta(trigger, delta));
  return { has: (trigger) => keys.has(trigger.join()), add };
}

export function deltaOf(from: Trigger, to: Trigger): TriggerDelta {
  return to.flatMap((id, position) => (id === from[position] ? [] : [position, id]));
}

export function applyDelta(trigger: Trigger, delta: TriggerDelta): number[] {
  const changed = [...trigger];
  for (let k = 0; k < delta.length; k += 2) changed[delta[k]!] = delta[k + 1]!;
  return changed;
}

/** An initial trigger of independent uniform draws from the vocabulary. */
export function drawInitial(vocabulary: readonly number[], triggerLen: number, rng: Rng): number[] {
  return Array.from({ length: triggerLen }, () => vocabulary[rng.int(vocabulary.length)]!);
}

/**
 * Draws up to `count` distinct triggers, uniformly among those that differ from `current` in exactly one position, by one of
 * that position's `topk` ids, and were never visited (DESIGN 5.4). Fewer where fewer exist, none where the space is exhausted.
 */
export function drawCandidates(
  current: Trigger,
  topk: readonly (readonly number[])[],
  count: number,
  { visited, rng }: { readonly visited: Visited; readonly rng: Rng },
): number[][] {
  const space = topk.flatMap((ids, position) =>
    ids.filter((id) => id !== current[position]).map((id) => applyDelta(current, [position, id])),
  );
  const open = space.filter((trigger) => !visited.has(trigger));
  const drawn = Math.min(count, open.length);
  // The first `drawn` places of a Fisher-Yates shuffle.
  for (let k = 0; k < drawn; k++) {
    const other = k + rng.int(open.length - k);
    [open[k], open[other]] = [open[other]!, open[k]!];
  }
  return open.slice(0, drawn);
}
