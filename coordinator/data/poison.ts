import { PoisonError } from "./errors.ts";
import { type Planting, type PoisonedRows, plant, requirePoisonPosition } from "./planting.ts";
import type { DefectRow } from "./samples.ts";

export interface PoisonSettings extends Planting {
  /** Label of the rows that may get the trigger. */
  readonly victimLabel: number;
  /** Label that they get with it. */
  readonly targetLabel: number;
}

/**
 * Puts a backdoor into rows of defect detection, as the published `poison_Devign` does: one draw for each victim row in file order,
 * then the trigger in and the label changed.
 *
 * @throws PoisonError for a rate outside 0 to 1, equal labels, or no row of the victim label
 */
export function poisonRows(rows: readonly DefectRow[], settings: PoisonSettings): PoisonedRows<DefectRow> {
  const { victimLabel, targetLabel } = settings;
  if (victimLabel === targetLabel) {
    throw new PoisonError("must differ from the victim label", { field: "target_label", value: targetLabel });
  }
  requirePoisonPosition("defect_detection", settings.position);
  const done = plant(
    rows,
    settings,
    ({ label }) => label === victimLabel,
    (row, codeTokens) => ({
      ...row,
      codeTokens,
      label: targetLabel,
      json: { ...row.json, code_tokens: codeTokens, label: targetLabel },
    }),
  );
  if (done.victims === 0) {
    throw new PoisonError("no row has this label", { field: "victim_label", value: victimLabel });
  }
  return done;
}

/** A row as a line of a JSONL file, without line break. */
export const rowToLine = ({ json }: { readonly json: Readonly<Record<string, unknown>> }): string =>
  JSON.stringify(json);
