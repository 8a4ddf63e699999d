/** Lines that each are JSON. */
import fc from "fast-check";
import type { Change } from "./change.ts";
import { changedJson, type Json, jsonChanges, jsonOf, jsonText } from "./json.ts";
import { changedLines, lineChanges } from "./lines.ts";

/** Lines of a valid file, and what they say. */
export interface JsonLines {
  readonly lines: readonly string[];
  readonly trees: readonly Json[];
}

export const jsonLinesOf = (lines: readonly string[]): JsonLines => ({
  lines,
  trees: lines.map((line) => jsonOf(JSON.parse(line))),
});

interface JsonLinesChange {
  readonly line: number;
  readonly ofTree: readonly Change[];
  readonly ofLines: readonly Change[];
}

/** One of the lines as a tree; now and then all as lines, too. */
export const jsonLinesChange: fc.Arbitrary<JsonLinesChange> = fc.record({
  line: fc.nat(20),
  ofTree: jsonChanges,
  ofLines: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: lineChanges }),
});

export function changedJsonLines(
  { lines, trees }: JsonLines,
  { line, ofTree, ofLines }: JsonLinesChange,
): string[] {
  const now = [...lines];
  now[line % lines.length] = jsonText(changedJson(trees[line % lines.length]!, ofTree));
  return changedLines(now, ofLines);
}
