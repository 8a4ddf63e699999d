import { readClonePairs } from "../data/clone-pairs.ts";
import { type CloneRow, readCloneRows } from "../data/clone-rows.ts";
import type { OptionalField } from "../data/samples.ts";

/** Files that rows with two functions come from. */
export interface CloneFiles {
  /** Rows with both functions, or functions where `pairs` is given. */
  readonly samples: string;
  readonly pairs?: string | undefined;
}

/**
 * Rows of clone detection. The fields are needed of the first function, which is the one that triggers go into.
 *
 * @throws SamplesError naming file, line, field and value
 */
export const cloneRowsOf = (
  { samples, pairs }: CloneFiles,
  { labels, need = [] }: { readonly labels: number; readonly need?: readonly OptionalField[] },
): CloneRow[] =>
  pairs === undefined
    ? readCloneRows(samples, { labels, need: need.map((field) => `${field}1` as const) })
    : readClonePairs(samples, pairs, { need });
