/** A step of a search as the log keeps it: the search's state without what earlier steps hold already. Pure. */
import { z } from "zod";
import type { PairSearchState } from "../search/pair-search.ts";
import type { SearchState } from "../search/search.ts";

const count = z.int().nonnegative();
const trigger = z.array(count);
const digest = z.string().regex(/^[0-9a-f]{64}$/);
const VisitedStep = z.strictObject({ trigger, deltas: z.array(z.array(count)) });
const pair = { trigger, target: trigger };

/** Every field of a state: one that is new there is missed here. */
type FieldsOf<State> = { readonly [Field in keyof Required<State>]: z.ZodType };

const common = {
  search: digest,
  step: count,
  rng: z.strictObject({ key: z.tuple([count, count]), drawn: count }),
  ended: z.enum(["epochs", "target_loss", "patience", "exhausted", "replayed"]).nullable(),
};

const TriggerStep = z.strictObject({
  ...common,
  initial: trigger,
  trigger,
  best: z.strictObject({ step: count, trigger, loss: z.number(), rate: z.number() }).nullable(),
  forwards: z.strictObject({ done: count, pruned: count }),
  half: z.strictObject({ disagreed: count, rescored: count, largest_slack: z.number() }).exactOptional(),
  /** What this step drew; null before the first one. */
  visited: VisitedStep.nullable(),
} satisfies FieldsOf<SearchState>);

const PairStep = z.strictObject({
  ...common,
  initial: z.strictObject(pair),
  pair: z.strictObject(pair),
  best: z.strictObject({ step: count, ...pair, loss: z.number() }).nullable(),
  forwards: count,
  blocks: z.strictObject({ done: count, pruned: count }),
  visited: z.strictObject({ triggers: VisitedStep, targets: VisitedStep }).nullable(),
} satisfies FieldsOf<PairSearchState>);

/** The state after one step, with that step's draws alone: of a search's n steps the log has O(n) draws and not O(n²). */
export const CommittedStep = z.union([TriggerStep, PairStep]);
export type CommittedStep = z.infer<typeof CommittedStep>;

export type AnySearchState = SearchState | PairSearchState;

/** What the log gets of a state. The steps before it must be in the log. */
export function committedStep(state: AnySearchState): CommittedStep {
  if ("pair" in state) {
    const triggers = state.visited.triggers.at(-1);
    const targets = state.visited.targets.at(-1);
    return PairStep.parse({ ...state, visited: triggers && targets ? { triggers, targets } : null });
  }
  return TriggerStep.parse({ ...state, visited: state.visited.at(-1) ?? null });
}

/** The state after the last of a search's steps, all of which are given. */
export function searchStateAfter(steps: readonly CommittedStep[]): AnySearchState {
  const last = steps.at(-1);
  if (last === undefined) throw new Error("a search has no state before its first commit");
  const drawn = steps.flatMap(({ visited }) => visited ?? []);
  if ("pair" in last) {
    const pairs = drawn.flatMap((each) => ("triggers" in each ? [each] : []));
    const visited = {
      triggers: pairs.map(({ triggers }) => triggers),
      targets: pairs.map(({ targets }) => targets),
    };
    return { ...last, visited };
  }
  return { ...last, visited: drawn.flatMap((each) => ("deltas" in each ? [each] : [])) };
}
