/** One sample × a group of candidates (indexes into the step's list, ascending). */
export interface Tile {
  readonly sample: number;
  readonly candidates: readonly number[];
}

/** Candidates per tile of each sample, for session runs of about `tileTokens` tokens. */
export const tileSizesOf = (stampedLengths: readonly number[], tileTokens: number): number[] =>
  stampedLengths.map((length) => Math.max(1, Math.round(tileTokens / length)));

/** Splits into the fewest groups of at most `largest`, whose sizes differ by one at most. */
export function evenGroups<T>(items: readonly T[], largest: number): T[][] {
  const groups = Math.ceil(items.length / largest);
  return Array.from({ length: groups }, (_, g) =>
    items.slice(Math.floor((g * items.length) / groups), Math.floor(((g + 1) * items.length) / groups)),
  );
}
