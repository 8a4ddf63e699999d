/** Which searches a scan consists of, and on which rows (DESIGN 5.10). Pure. */
import { labelCount } from "./loss.ts";
import type { PositionHalf } from "./position.ts";
import type { ScanRow } from "./positions.ts";
import { SearchInputError } from "./problem.ts";
import type { Direction, ScanSettings } from "./settings.ts";

/** One search of a scan. */
export interface PlannedSearch extends Direction {
  /** Number of the search within its scan. */
  readonly search: number;
  readonly half: PositionHalf;
  readonly seed: number;
  /** Rows that the search works on: the first ones of the victim label. */
  readonly samples: readonly ScanRow[];
  /** Rows of the victim label that it never sees. */
  readonly heldOut: readonly ScanRow[];
}

export interface ScanRows {
  /** Clean samples, in file order. */
  readonly rows: readonly ScanRow[];
  /** Clean samples for the success rate alone; absent: the victim rows that the searches do not use. */
  readonly heldOut?: readonly ScanRow[];
  /** Outputs of the model's head; 1 means a sigmoid and two labels. */
  readonly classes: number;
}

/** All searches, in order: by direction (victim, then target), half, seed. */
export function planScan({ rows, heldOut, classes }: ScanRows, settings: ScanSettings): PlannedSearch[] {
  const labels = labelCount(classes);
  for (const { row, label } of [...rows, ...(heldOut ?? [])])
    if (!Number.isInteger(label) || label < 0 || label >= labels)
      throw new SearchInputError(`row ${row} has label ${label}, the model knows 0 to ${labels - 1}`);

  const directions = settings.directions === "all" ? allDirections(labels) : settings.directions;
  const planned: PlannedSearch[] = [];
  for (const { victim, target } of directions) {
    if (victim === target) throw new SearchInputError(`victim and target label are both ${victim}`);
    if (Math.max(victim, target) >= labels)
      throw new SearchInputError(`direction ${victim}->${target}: the model knows labels 0 to ${labels - 1}`);
    const victims = rows.filter(({ label }) => label === victim);
    if (victims.length === 0) throw new SearchInputError(`no sample has the victim label ${victim}`);
    const samples = victims.slice(0, settings.samples);
    const seen = new Set(samples.map(contentOf));
    const others = heldOut?.filter(({ label }) => label === victim) ?? victims.slice(settings.samples);
    const unseen = others.filter((row) => !seen.has(contentOf(row)));
    for (const half of settings.halves)
      for (let k = 0; k < settings.seeds; k++)
        planned.push({
          search: planned.length,
          victim,
          target,
          half,
          seed: settings.seed + k,
          samples,
          heldOut: unseen,
        });
  }
  return planned;
}

/** What the model reads of a row: rows that are equal in it are one sample. */
const contentOf = ({ ids, secondIds }: ScanRow): string => [ids, secondIds ?? []].join("|");

function allDirections(labels: number): Direction[] {
  const all = Array.from({ length: labels }, (_, label) => label);
  return all.flatMap((victim) =>
    all.filter((target) => target !== victim).map((target) => ({ victim, target })),
  );
}
