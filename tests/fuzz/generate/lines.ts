/** Text as lines, changed line by line. */
import { createHash } from "node:crypto";
import { type Change, someChanges } from "./change.ts";

export const lineChanges = someChanges(8, { min: 1, max: 3 });

const LINES = [
  "",
  " ",
  "\t",
  "\r",
  "\u0000",
  "\uFEFF",
  "null",
  "[]",
  "{}",
  "a b c",
  "#",
  "\u2028",
  "é漢",
  "x".repeat(500),
  "a\tb\t1",
];

export function changedLines(lines: readonly string[], changes: readonly Change[]): string[] {
  const now = [...lines];
  for (const { at, how, what } of changes) {
    const place = at % Math.max(1, now.length);
    const line = now[place] ?? "";
    const cut = what % (line.length + 1);
    const other = LINES[what % LINES.length]!;
    if (how === 0) now.splice(place, 0, other);
    else if (how === 1) now.splice(place, 1);
    else if (how === 2) now.splice(place, 0, line);
    else if (how === 3) now[place] = line.slice(0, cut);
    else if (how === 4) now[place] = line.slice(0, cut) + other + line.slice(cut);
    else if (how === 5) now[place] = `${line}\r`;
    else if (how === 6) now.splice(place, 0, ...now.splice(what % Math.max(1, now.length), 1));
    else now[place] = other;
  }
  return now;
}

/** A backup: lines with the end that fits them. */
export function sealed(lines: readonly string[]): string {
  const before = lines.map((line) => `${line}\n`).join("");
  const sha256 = createHash("sha256").update(before).digest("hex");
  return `${before}${JSON.stringify({ lines: lines.length, sha256 })}\n`;
}
