import { readCloneRows } from "../../coordinator/data/clone-rows.ts";
import { readDefectRows } from "../../coordinator/data/samples.ts";
import { triggerVocabulary } from "../../coordinator/data/vocabulary.ts";
import { createPositionFinder, type ScanRow, secondRowsOf } from "../../coordinator/search/positions.ts";
import type { SearchProblem } from "../../coordinator/search/problem.ts";
import { cloneScanRows, scanRows } from "../../coordinator/search/scan-rows.ts";
import type { Executor } from "../../proto/operations.ts";
import { uniform } from "../support/uniform.ts";
import type { BenchData, BenchModel } from "./models.ts";
import { ordinaryIds, randomRow, rowEnds } from "./random-rows.ts";

export const SAMPLES = 30;
export const MAX_LEN = 400;
const TRIGGER_LEN = 5;
/** The direction of the trained models' backdoors. */
const [VICTIM, TARGET] = [1, 0];

/**
 * A search on the first victim rows of the model's data, each trigger at the place that a scan finds; a random model has no such places and
 * gets drawn ones. Without data random rows of such lengths.
 */
export async function searchProblem(
  executor: Executor,
  model: BenchModel,
  samples = SAMPLES,
): Promise<SearchProblem> {
  const { checkpoint, data } = model;
  if (data === undefined) return randomProblem(model, samples);
  const tokenizer = data.tokenizer();
  const endId = tokenizer.ids.restored;
  const rows = victimRows(model, data).slice(0, samples);
  const secondRows = secondRowsOf(rows);
  return {
    checkpoint,
    rows: rows.map(({ ids }) => ids),
    ...(secondRows === undefined ? {} : { secondRows }),
    insertIndexes: model.trained
      ? await foundIndexes(rows, { executor, checkpoint, maxLen: MAX_LEN, endId })
      : drawnIndexes(rows.map(({ ids }) => ids)),
    maxLen: MAX_LEN,
    endId,
    vocabulary: triggerVocabulary(tokenizer),
    target: TARGET,
  };
}

function victimRows({ task }: BenchModel, { samples, tokenizer }: BenchData): ScanRow[] {
  const rows =
    task === "clone_detection"
      ? cloneScanRows(readCloneRows(samples), tokenizer(), MAX_LEN)
      : scanRows(readDefectRows(samples), tokenizer(), MAX_LEN);
  return rows.filter(({ label }) => label === VICTIM);
}

async function foundIndexes(
  rows: readonly ScanRow[],
  context: Parameters<typeof createPositionFinder>[0],
): Promise<number[]> {
  const positions = await createPositionFinder(context).find(rows, {
    rule: "lowest",
    half: "first_half",
    triggerLen: TRIGGER_LEN,
    target: TARGET,
  });
  return positions.map(({ insertIndex }) => insertIndex);
}

/** In the first half of each row. */
function drawnIndexes(rows: readonly (readonly number[])[]): number[] {
  const draw = uniform(5);
  return rows.map((row) => 1 + Math.floor((draw() * row.length) / 2));
}

function randomProblem({ checkpoint, config, task }: BenchModel, samples: number): SearchProblem {
  const draw = uniform(11);
  const drawRows = () =>
    Array.from({ length: samples }, () => randomRow(60 + Math.floor(draw() * (MAX_LEN - 60)), config, draw));
  const rows = drawRows();
  return {
    checkpoint,
    rows,
    ...(task === "clone_detection" ? { secondRows: drawRows() } : {}),
    insertIndexes: drawnIndexes(rows),
    maxLen: MAX_LEN,
    endId: rowEnds(config).restored,
    vocabulary: ordinaryIds(config),
    target: TARGET,
  };
}
