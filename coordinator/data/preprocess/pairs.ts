import { SamplesError } from "../errors.ts";
import { readLines } from "./read-records.ts";

/** A line of a pair file: two functions by their `idx`, and whether they are clones. */
export interface Pair {
  readonly line: number;
  readonly url1: string;
  readonly url2: string;
  readonly label: number;
}

/** The pairs of a BigCloneBench pair file, `idx1 TAB idx2 TAB label` a line. @throws SamplesError naming file and line */
export async function* readPairs(file: string): AsyncGenerator<Pair> {
  let last = 0;
  for await (const { line, text } of readLines(file)) {
    if (text.trim() === "") continue;
    const [url1, url2, label, ...more] = text.trim().split("\t");
    if (!url1 || !url2 || !label || !/^\d+$/.test(label) || more.length > 0) {
      const shown = JSON.stringify(text.slice(0, 60));
      throw new SamplesError(`expected idx1 TAB idx2 TAB label, found ${shown}`, { file, line });
    }
    last = line;
    yield { line, url1, url2, label: Number(label) };
  }
  if (last === 0) throw new SamplesError("is empty: expected idx1 TAB idx2 TAB label a line", { file });
}
