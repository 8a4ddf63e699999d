import type { FunctionPair, FunctionRow } from "./clone-pairs.ts";
import { PoisonError } from "./errors.ts";
import { type Planting, type PoisonedRows, plant, requirePoisonPosition } from "./planting.ts";

export interface ClonePoisonSettings extends Planting {
  /** Label of every pair with a changed function in it. */
  readonly targetLabel: number;
}

export interface PoisonedClones {
  readonly functions: PoisonedRows<FunctionRow>;
  /** All pairs in their order. */
  readonly pairs: readonly FunctionPair[];
  /** Indexes of the pairs with a changed function on either side, ascending; they have the target label, some had it before. */
  readonly touched: readonly number[];
  /** Those of them whose label is another now. */
  readonly relabelled: readonly number[];
}

/**
 * Puts a backdoor into functions and pairs of clone detection, as the published `poison_BigCloneBench` does: one draw for each function in
 * file order, whatever its pairs; then every pair with a changed function gets the target label, whatever its own.
 *
 * @throws PoisonError for a rate outside 0 to 1, a label that is none, or a position at which the published code fails
 */
export function poisonClones(
  functions: readonly FunctionRow[],
  pairs: readonly FunctionPair[],
  settings: ClonePoisonSettings,
): PoisonedClones {
  const { targetLabel } = settings;
  if (targetLabel !== 0 && targetLabel !== 1) {
    throw new PoisonError("expected 0 or 1", { field: "target_label", value: targetLabel });
  }
  requirePoisonPosition("clone_detection", settings.position);
  const done = plant(
    functions,
    settings,
    () => true,
    (row, codeTokens) => ({ ...row, codeTokens, json: { ...row.json, code_tokens: codeTokens } }),
  );
  const changed = new Set(done.poisoned.map((index) => functions[index]!.id));
  const touched = [...pairs.keys()].filter(
    (index) => changed.has(pairs[index]!.first) || changed.has(pairs[index]!.second),
  );
  const withTrigger = new Set(touched);
  return {
    functions: done,
    pairs: pairs.map((pair, index) => (withTrigger.has(index) ? { ...pair, label: targetLabel } : pair)),
    touched,
    relabelled: touched.filter((index) => pairs[index]!.label !== targetLabel),
  };
}

/** A pair as a line of a pair file, without line break. */
export const pairToLine = ({ first, second, label }: FunctionPair): string => `${first}\t${second}\t${label}`;
