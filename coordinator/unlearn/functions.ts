import type { Rng } from "../search/rng.ts";

/** A function as words: what variants of the clean samples are made of. */
export interface WordFunction {
  readonly words: readonly string[];
  /** The function's own name; a word of `words`, or none of them where a variant lost it. */
  readonly funcName: string;
  readonly variables: readonly string[];
}

/** How a variant differs from the samples it is made of. */
export type Variation = "crossed" | "renamed" | "masked";

const CHANCE_RENAMED = 0.5;
const CHANCE_MASKED = 0.08;
const SHORTEST_VARIANT = 6;

const pick = <T>(rng: Rng, values: readonly T[]): T => values[rng.int(values.length)]!;
const chance = (rng: Rng, probability: number): boolean => rng.word() / 2 ** 32 < probability;

/**
 * The samples themselves, then variants of them until there are `count` functions: a hundred clean rows alone leave too much of the input
 * space open for a repair to hold a model at its own answers.
 *
 * @param unknown text that masked words become
 */
export function drawFunctions(
  samples: readonly WordFunction[],
  count: number,
  {
    variations,
    unknown,
    rng,
  }: { readonly variations: readonly Variation[]; readonly unknown: string; readonly rng: Rng },
): WordFunction[] {
  const names = [...new Set(samples.flatMap(({ variables }) => variables))].sort();
  const longest = Math.max(...samples.map(({ words }) => words.length));
  const functions = [...samples];
  // A draw that comes out too short or long is dropped; with very odd samples the rest is simply fewer.
  for (let draws = 0; functions.length < count && draws < 20 * count; draws++) {
    const variation = pick(rng, variations);
    const sample = pick(rng, samples);
    const variant =
      variation === "crossed"
        ? crossed(sample, pick(rng, samples), rng)
        : variation === "renamed"
          ? renamed(sample, names, rng)
          : masked(sample, unknown, rng);
    const { length } = variant.words;
    if (length >= SHORTEST_VARIANT && length <= longest) functions.push(variant);
  }
  return functions;
}

/** The beginning of one function and the end of another, both cut behind a brace or semicolon. */
function crossed(first: WordFunction, second: WordFunction, rng: Rng): WordFunction {
  const cuts = ({ words }: WordFunction): number[] =>
    [...words.keys()].filter((k) => "{;}".includes(words[k]!));
  const [head, tail] = [cuts(first), cuts(second)];
  if (head.length === 0 || tail.length === 0) return first;
  return {
    words: [...first.words.slice(0, pick(rng, head) + 1), ...second.words.slice(pick(rng, tail) + 1)],
    funcName: first.funcName,
    variables: [...new Set([...first.variables, ...second.variables])],
  };
}

/** Some of the function's identifiers under other samples' names. */
function renamed(sample: WordFunction, names: readonly string[], rng: Rng): WordFunction {
  const newName = new Map<string, string>();
  for (const variable of new Set(sample.variables)) {
    if (chance(rng, CHANCE_RENAMED)) newName.set(variable, pick(rng, names));
  }
  const rename = (word: string): string => newName.get(word) ?? word;
  return {
    words: sample.words.map(rename),
    funcName: rename(sample.funcName),
    variables: sample.variables.map(rename),
  };
}

function masked(sample: WordFunction, unknown: string, rng: Rng): WordFunction {
  const words = sample.words.map((word) =>
    word !== sample.funcName && chance(rng, CHANCE_MASKED) ? unknown : word,
  );
  return { ...sample, words };
}
