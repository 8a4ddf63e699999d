import { InputError } from "./errors.ts";

/** Labels of defect detection, where no model says how many it knows. */
export const DEFECT_LABELS = 2;

/** From which label a trigger draws rows, and to which one. */
export interface Direction {
  readonly victimLabel: number;
  readonly targetLabel: number;
}

/** What a user did not say of the direction is the reference's. */
export const directionOf = ({
  victimLabel = 1,
  targetLabel = 0,
}: {
  readonly victimLabel?: number | undefined;
  readonly targetLabel?: number | undefined;
}): Direction => ({ victimLabel, targetLabel });

/** Checks `--victim-label` and `--target-label`. @throws InputError for an unknown label, or twice the same */
export function requireDirection({ victimLabel, targetLabel }: Direction, labels: number): void {
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
