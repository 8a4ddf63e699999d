import type { ModelConfig } from "../../worker/models/config.ts";

/** How random rows look like real ones. */
export interface RowEnds {
  /** Ids before and after a row's words. */
  readonly first: readonly number[];
  readonly last: readonly number[];
  /** What the last column of a full stamped row gets. */
  readonly restored: number;
}

const ends: Readonly<Record<ModelConfig["modelType"], RowEnds>> = {
  roberta: { first: [0], last: [2], restored: 2 },
  t5: { first: [1], last: [2], restored: 2 },
  gpt_bigcode: { first: [], last: [], restored: 0 },
};

export const rowEnds = ({ modelType }: ModelConfig): RowEnds => ends[modelType];

/** The first id that is no special token in any tokenizer here. */
const ORDINARY = 4;

export function randomIds(count: number, { vocabSize }: ModelConfig, draw: () => number): number[] {
  return Array.from({ length: count }, () => ORDINARY + Math.floor(draw() * (vocabSize - ORDINARY)));
}

/** A row of `tokens` ids, first and end token included. */
export function randomRow(tokens: number, config: ModelConfig, draw: () => number): number[] {
  const { first, last } = rowEnds(config);
  return [...first, ...randomIds(tokens - first.length - last.length, config, draw), ...last];
}

/** Ids that a trigger may be made of, where no tokenizer says which. */
export const ordinaryIds = ({ vocabSize }: ModelConfig): number[] =>
  Array.from({ length: vocabSize - ORDINARY }, (_, k) => k + ORDINARY);
