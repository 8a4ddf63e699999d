import { readSearchRows } from "../../coordinator/data/search-rows.ts";
import { triggerVocabulary } from "../../coordinator/data/vocabulary.ts";
import type { PairProblem } from "../../coordinator/search/pair-problem.ts";
import { pairRows } from "../../coordinator/search/scan-rows.ts";
import { uniform } from "../support/uniform.ts";
import type { BenchModel } from "./models.ts";
import { ordinaryIds, randomRow, rowEnds } from "./random-rows.ts";

const SAMPLES = 30;
const LIMITS = { codeMaxLen: 256, nlMaxLen: 128 };

/** A search for a trigger and a target on the first codes and queries of the model's data, else on random rows of such lengths. */
export function pairProblem({ checkpoint, config, data }: BenchModel): PairProblem {
  const draw = uniform(13);
  const drawRows = (least: number, most: number) =>
    Array.from({ length: SAMPLES }, () =>
      randomRow(least + Math.floor(draw() * (most - least)), config, draw),
    );
  const tokenizer = data?.tokenizer();
  const real =
    tokenizer && data && pairRows(readSearchRows(data.samples), tokenizer, LIMITS).slice(0, SAMPLES);
  const codes = real?.map(({ ids }) => ids) ?? drawRows(30, 200);
  const queries = real?.map(({ queryIds }) => queryIds) ?? drawRows(8, 40);
  const endId = tokenizer?.ids.restored ?? rowEnds(config).restored;
  return {
    checkpoint,
    codes: {
      rows: codes,
      insertIndexes: codes.map((row) => 1 + Math.floor((draw() * (row.length - 2)) / 2)),
      maxLen: LIMITS.codeMaxLen,
      endId,
    },
    queries: { rows: queries, insertIndexes: queries.map(() => 1), maxLen: LIMITS.nlMaxLen, endId },
    vocabulary: tokenizer ? triggerVocabulary(tokenizer) : ordinaryIds(config),
  };
}
