import { readLines } from "../data/preprocess/read-records.ts";
import type { PreprocessOptions } from "./preprocess-options.ts";

export const splitNames = ["train", "valid", "test"] as const;
export type SplitName = (typeof splitNames)[number];

/** The files that name what belongs to which split, for the splits that were given. */
export function splitFiles(options: PreprocessOptions): ReadonlyMap<SplitName, string> {
  const files = [
    ["train", options.trainTxtPath],
    ["valid", options.validTxtPath],
    ["test", options.testTxtPath],
  ] as const;
  return new Map(files.filter((each): each is [SplitName, string] => each[1] !== undefined));
}

/** Which row goes into which file. */
export interface Splits {
  /** The split of a function, the first that names it; undefined where none does. */
  splitOf(idx: string): SplitName | undefined;
  /** Ids that no function had, by split. */
  absent(): Readonly<Record<string, number>>;
}

/** Reads index files: one id a line. @throws SamplesError for a file that cannot be read */
export async function readSplits(files: ReadonlyMap<SplitName, string>): Promise<Splits> {
  const waiting = new Map<SplitName, Set<string>>();
  for (const [name, file] of files) {
    const ids = new Set<string>();
    for await (const { text } of readLines(file)) if (text.trim() !== "") ids.add(text.trim());
    waiting.set(name, ids);
  }
  return {
    splitOf: (idx) => [...waiting].find(([, ids]) => ids.delete(idx))?.[0],
    absent: () => Object.fromEntries([...waiting].map(([name, ids]) => [name, ids.size])),
  };
}
