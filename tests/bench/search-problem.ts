import { readDefectRows } from "../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../coordinator/data/tokenizer.ts";
import { triggerVocabulary } from "../../coordinator/data/vocabulary.ts";
import { createPositionFinder } from "../../coordinator/search/positions.ts";
import type { SearchProblem } from "../../coordinator/search/problem.ts";
import { scanRows } from "../../coordinator/search/scan-rows.ts";
import type { Executor } from "../../proto/operations.ts";
import { sharedPath } from "../support/shared.ts";
import { uniform } from "../support/uniform.ts";
import type { BenchModel } from "./models.ts";
import { END, randomRow } from "./tiles.ts";

const SAMPLES = 30;
const MAX_LEN = 400;
const TRIGGER_LEN = 5;

/** A search on 30 samples: real functions with their positions where the model is the trained one, else random rows of such lengths. */
export function searchProblem(executor: Executor, model: BenchModel): Promise<SearchProblem> {
  return model.trained ? realProblem(executor, model) : Promise.resolve(randomProblem(model));
}

/** The first victim rows of the trained model's clean samples, in the direction of its backdoor. */
async function realProblem(executor: Executor, { checkpoint }: BenchModel): Promise<SearchProblem> {
  const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", "roberta-base"), {
    specialTokens: "codebert",
  });
  const file = sharedPath("golden", "trained", "defect-data", "clean_samples.jsonl");
  const victims = scanRows(readDefectRows(file), tokenizer, MAX_LEN).filter(({ label }) => label === 1);
  const samples = victims.slice(0, SAMPLES);
  const finder = createPositionFinder({
    executor,
    checkpoint,
    maxLen: MAX_LEN,
    endId: tokenizer.ids.restored,
  });
  const positions = await finder.find(samples, {
    rule: "lowest",
    half: "first_half",
    triggerLen: TRIGGER_LEN,
    target: 0,
  });
  return {
    checkpoint,
    rows: samples.map(({ ids }) => ids),
    insertIndexes: positions.map(({ insertIndex }) => insertIndex),
    maxLen: MAX_LEN,
    endId: tokenizer.ids.restored,
    vocabulary: triggerVocabulary(tokenizer),
    target: 0,
  };
}

function randomProblem(model: BenchModel): SearchProblem {
  const draw = uniform(11);
  const rows = Array.from({ length: SAMPLES }, () =>
    randomRow(60 + Math.floor(draw() * (MAX_LEN - 60)), model, draw),
  );
  return {
    checkpoint: model.checkpoint,
    rows,
    insertIndexes: rows.map((row) => 1 + Math.floor((draw() * row.length) / 2)),
    maxLen: MAX_LEN,
    endId: END,
    vocabulary: Array.from({ length: model.config.vocabSize - 4 }, (_, k) => k + 4),
    target: 0,
  };
}
