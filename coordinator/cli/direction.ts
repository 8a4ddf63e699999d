import { InputError } from "./errors.ts";

/** Labels of defect detection, where no model says how many it knows. */
export const DEFECT_LABELS = 2;

/** Checks `--victim-label` and `--target-label`. @throws InputError for an unknown label, or twice the same */
export function requireDirection(
  { victimLabel, targetLabel }: { readonly victimLabel: number; readonly targetLabel: number },
  labels: number,
): void {
  for (const [flag, label] of [
    ["--victim-label", victimLabel],
    ["--target-label", targetLabel],
  ] as const) {
    if (label >= labels) throw new InputError(`${flag} ${label}: there are only labels 0 to ${labels - 1}`);
  }
  if (victimLabel === targetLabel) {
    throw new InputError(
      `--target-label ${targetLabel}: is the victim label too; a trigger changes the answer`,
    );
  }
}
