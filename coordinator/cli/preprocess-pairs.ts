import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { requireKnownPair } from "../data/clone-pairs.ts";
import { SamplesError } from "../data/errors.ts";
import { readPairs } from "../data/preprocess/pairs.ts";
import type { SplitName } from "./preprocess-splits.ts";

/** What became of the pairs of a pair file. */
export interface PairCounts {
  readonly written: number;
  /** Pairs with a function that was kept out. */
  readonly kept_out: number;
}

/** The functions of a clone data set by their id: true where one has a row, false where it was kept out. */
export class KnownFunctions {
  readonly #isKept = new Map<string, boolean>();

  /** @throws SamplesError for an id that another function has */
  add(idx: string, isKept: boolean, place: { readonly file?: string; readonly line?: number }): void {
    if (this.#isKept.has(idx)) {
      throw new SamplesError("stands in an earlier row too", { ...place, field: "idx", value: idx });
    }
    this.#isKept.set(idx, isKept);
  }

  isKept(idx: string): boolean | undefined {
    return this.#isKept.get(idx);
  }
}

/**
 * Writes pair files anew beside the rows of their functions, without the pairs of functions that were kept out.
 *
 * @throws SamplesError naming file and line of a pair with a function that the data set does not have
 */
export async function writePairs(
  folder: string,
  files: ReadonlyMap<SplitName, string>,
  known: KnownFunctions,
  dataFile: string,
): Promise<Readonly<Record<string, PairCounts>>> {
  const counts: Record<string, PairCounts> = {};
  for (const [name, file] of files) {
    let [written, keptOut] = [0, 0];
    const lines = async function* () {
      for await (const { line, url1, url2, label } of readPairs(file)) {
        requireKnownPair({ line, first: url1, second: url2 }, (id) => known.isKept(id) !== undefined, {
          pairFile: file,
          functionFile: dataFile,
        });
        if (known.isKept(url1) && known.isKept(url2)) {
          written++;
          yield `${url1}\t${url2}\t${label}\n`;
        } else keptOut++;
      }
    };
    await pipeline(lines, createWriteStream(join(folder, `${name}.txt`)));
    counts[`${name}.txt`] = { written, kept_out: keptOut };
  }
  return counts;
}
