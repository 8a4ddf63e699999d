/** Where a sticky pattern, matched from a place on, ends; undefined where it does not match. */
export function endOfMatch(sticky: RegExp, text: string, from: number): number | undefined {
  sticky.lastIndex = from;
  return sticky.test(text) ? sticky.lastIndex : undefined;
}
