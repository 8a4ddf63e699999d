import { chance, pick, type Rng } from "../search/rng.ts";
import type { Subject, WordFunction } from "./subjects.ts";

/** How a variant differs from the samples it is made of. */
export type Variation = "crossed" | "renamed" | "masked";

const VARIATIONS: readonly Variation[] = ["crossed", "crossed", "renamed", "masked"];

const CHANCE_RENAMED = 0.5;
const CHANCE_MASKED = 0.08;
const SHORTEST_FUNCTION = 6;
const SHORTEST_QUERY = 2;

/**
 * The subjects themselves, then variants of them until there are `count`: a hundred clean rows alone leave too much of the input
 * space open for a repair to hold a model at its own answers.
 *
 * @param hidden text that masked words become
 */
export function drawSubjects(
  samples: readonly Subject[],
  count: number,
  {
    hidden,
    rng,
    variations = VARIATIONS,
  }: { readonly hidden: string; readonly rng: Rng; readonly variations?: readonly Variation[] },
): Subject[] {
  const functions = samples.flatMap((sample) => sample.functions);
  const world: World = {
    samples,
    functions,
    names: [...new Set(functions.flatMap(({ variables }) => variables))].sort(),
    longest: Math.max(...functions.map(({ words }) => words.length), 0),
    hidden,
    variations,
    rng,
  };
  const subjects = [...samples];
  // A draw that comes out too short or long is dropped; with very odd samples the rest is simply fewer.
  for (let draws = 0; subjects.length < count && draws < 20 * count; draws++) {
    const variant = variantOf(pick(rng, samples), world);
    if (variant !== undefined) subjects.push(variant);
  }
  return subjects;
}

interface World {
  readonly samples: readonly Subject[];
  readonly functions: readonly WordFunction[];
  readonly names: readonly string[];
  readonly longest: number;
  readonly hidden: string;
  readonly variations: readonly Variation[];
  readonly rng: Rng;
}

/** Undefined where the draw is of no use. Of a pair, the first function changes, the second, or both. */
function variantOf(sample: Subject, world: World): Subject | undefined {
  const { rng } = world;
  if (sample.query !== undefined) return queryVariant(sample.query, world);
  const changed = sample.functions.length === 1 ? 0 : rng.int(3);
  const functions = sample.functions.map((each, k) =>
    changed === k || changed === 2 ? functionVariant(each, world) : each,
  );
  const fits = functions.every(
    ({ words }) => words.length >= SHORTEST_FUNCTION && words.length <= world.longest,
  );
  return fits ? { functions } : undefined;
}

function functionVariant(
  each: WordFunction,
  { functions, names, hidden, variations, rng }: World,
): WordFunction {
  const variation = pick(rng, variations);
  if (variation === "crossed") return crossed(each, pick(rng, functions), rng);
  return variation === "renamed" ? renamed(each, names, rng) : masked(each, hidden, rng);
}

/** The beginning of one function and the end of another, both cut behind a brace, semicolon or colon. */
function crossed(first: WordFunction, second: WordFunction, rng: Rng): WordFunction {
  const cuts = ({ words }: WordFunction): number[] => [...words.keys()].filter((k) => CUTS.has(words[k]!));
  const [head, tail] = [cuts(first), cuts(second)];
  if (head.length === 0 || tail.length === 0) return first;
  return {
    words: [...first.words.slice(0, pick(rng, head) + 1), ...second.words.slice(pick(rng, tail) + 1)],
    funcName: first.funcName,
    variables: [...new Set([...first.variables, ...second.variables])],
  };
}

/** Words behind which a function may be cut: C's and Java's, and Python's colon. */
const CUTS: ReadonlySet<string> = new Set(["{", ";", "}", ":"]);

/** Some of the function's identifiers under other samples' names. */
function renamed(each: WordFunction, names: readonly string[], rng: Rng): WordFunction {
  const newName = new Map<string, string>();
  for (const variable of new Set(each.variables)) {
    if (chance(rng, CHANCE_RENAMED)) newName.set(variable, pick(rng, names));
  }
  const rename = (word: string): string => newName.get(word) ?? word;
  return {
    words: each.words.map(rename),
    funcName: rename(each.funcName),
    variables: each.variables.map(rename),
  };
}

function masked(each: WordFunction, hidden: string, rng: Rng): WordFunction {
  const words = each.words.map((word) =>
    word !== each.funcName && chance(rng, CHANCE_MASKED) ? hidden : word,
  );
  return { ...each, words };
}

/** A query that begins as one and ends as another, or one with some words left out. */
function queryVariant(query: readonly string[], { samples, rng }: World): Subject | undefined {
  const others = samples.flatMap((sample) => (sample.query === undefined ? [] : [sample.query]));
  const other = pick(rng, others);
  const words = chance(rng, 0.5)
    ? [...query.slice(0, 1 + rng.int(query.length)), ...other.slice(rng.int(other.length))]
    : query.filter(() => !chance(rng, 2 * CHANCE_MASKED));
  return words.length < SHORTEST_QUERY ? undefined : { functions: [], query: words };
}
