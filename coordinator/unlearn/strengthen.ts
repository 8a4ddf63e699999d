import { drawInitial, type Trigger } from "../search/candidates.ts";
import { pick, type Rng } from "../search/rng.ts";
import { meanLosses, type StepContext } from "../search/step.ts";

/** Rounds, triggers that a round goes on from, and new ones that it tries. */
const ROUNDS = 4;
const KEPT = 64;
const TRIED = 192;

/**
 * Triggers of some tokens that pull the hardest toward the target label: what holds against these holds against weaker ones. In each round the
 * best so far are changed at one place or joined, and the best of old and new go on.
 *
 * @param longest most tokens of a trigger
 * @returns by loss, the lowest first
 */
export async function strongTriggers(
  inverted: Trigger,
  {
    tokens,
    longest,
    rng,
  }: { readonly tokens: readonly number[]; readonly longest: number; readonly rng: Rng },
  context: StepContext,
): Promise<Trigger[]> {
  const lossOf = new Map<string, { readonly trigger: Trigger; readonly loss: number }>();
  let best: Trigger[] = [inverted];
  for (let round = 0; round < ROUNDS; round++) {
    const drawn = Array.from({ length: TRIED }, () =>
      round === 0 && rng.int(2) === 0
        ? drawInitial(tokens, 1 + rng.int(longest), rng)
        : changed(pick(rng, best), pick(rng, best), { tokens, longest, rng }),
    );
    const fresh = new Map(
      [...(round === 0 ? [inverted] : []), ...drawn]
        .map((trigger) => [trigger.join(), trigger] as const)
        .filter(([key]) => !lossOf.has(key)),
    );
    // Operations hold triggers of one length.
    for (const length of new Set([...fresh.values()].map((trigger) => trigger.length))) {
      const triggers = [...fresh.values()].filter((trigger) => trigger.length === length);
      const losses = await meanLosses(triggers, context);
      for (const [k, trigger] of triggers.entries())
        lossOf.set(trigger.join(), { trigger, loss: losses[k]! });
    }
    const sorted = [...lossOf.entries()].sort(
      ([a, one], [b, other]) => one.loss - other.loss || (a < b ? -1 : 1),
    );
    // Of triggers of the same tokens one is enough.
    const distinct = new Map<string, Trigger>();
    for (const [, { trigger }] of sorted) {
      const key = [...new Set(trigger)].sort((a, b) => a - b).join();
      if (!distinct.has(key)) distinct.set(key, trigger);
    }
    best = [...distinct.values()].slice(0, KEPT);
  }
  return best;
}

/** One token put in, replaced or left out; or the beginning of one trigger and the end of another. */
function changed(
  trigger: Trigger,
  second: Trigger,
  {
    tokens,
    longest,
    rng,
  }: { readonly tokens: readonly number[]; readonly longest: number; readonly rng: Rng },
): Trigger {
  const at = rng.int(trigger.length);
  const [head, tail] = [trigger.slice(0, at), trigger.slice(at)];
  const made = [
    () => [...head, pick(rng, tokens), ...tail],
    () => [...head, pick(rng, tokens), ...tail.slice(1)],
    () => [...head, ...tail.slice(1)],
    () => [...head, ...second.slice(rng.int(second.length))],
  ][rng.int(4)]!();
  return made.length === 0 ? trigger : made.slice(0, longest);
}
