import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readCloneRows } from "../../../coordinator/data/clone-rows.ts";
import { readDefectRows } from "../../../coordinator/data/samples.ts";
import { loadTokenizer, type Tokenizer, type TokenizerOptions } from "../../../coordinator/data/tokenizer.ts";
import { triggerVocabulary } from "../../../coordinator/data/vocabulary.ts";
import { createPositionFinder, type ScanRow, secondRowsOf } from "../../../coordinator/search/positions.ts";
import { prepareSearch } from "../../../coordinator/search/problem.ts";
import type { ClassifierTask } from "../../../coordinator/search/scan-result.ts";
import { cloneScanRows, scanRows } from "../../../coordinator/search/scan-rows.ts";
import { runSearch, type StepRecord } from "../../../coordinator/search/search.ts";
import { SearchSettings } from "../../../coordinator/search/settings.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

interface Expected {
  readonly inversion: {
    readonly "1->0": {
      readonly sample_rows: readonly {
        readonly row: number;
        readonly ids: number[];
        readonly chosen: string | null;
        readonly insert_index: number;
      }[];
      readonly search: {
        readonly steps: readonly {
          readonly current: number[];
          readonly candidates: number[][];
          readonly losses: number[];
          readonly winner: number;
          readonly winner_loss: number;
          readonly winner_rate: number;
          readonly gradient_top64: number[][];
        }[];
      };
    };
  };
}

const MAX_LEN = 400;
/** How many of the recorded 25 steps are replayed: the first ones, where winners differ most. */
const STEPS = 2;

interface TrainedModel {
  readonly name: string;
  readonly task: ClassifierTask;
  readonly tokenizer: { readonly folder: string } & TokenizerOptions;
  readonly samples: readonly string[];
  readonly rows: (file: string, tokenizer: Tokenizer) => ScanRow[];
  /** How the recorded gradients were made. */
  readonly gradient: "full" | "published";
}

const models: TrainedModel[] = [
  {
    name: "defect-codebert-backdoored",
    task: "defect_detection",
    tokenizer: { folder: "roberta-base", specialTokens: "codebert" },
    samples: ["defect-data", "clean_samples.jsonl"],
    rows: (file, tokenizer) => scanRows(readDefectRows(file), tokenizer, MAX_LEN),
    gradient: "full",
  },
  {
    name: "clone-codet5-backdoored",
    task: "clone_detection",
    tokenizer: { folder: "codet5-base" },
    samples: ["clone-codet5-backdoored", "clean_samples.jsonl"],
    rows: (file, tokenizer) => cloneScanRows(readCloneRows(file), tokenizer, MAX_LEN),
    gradient: "published",
  },
];

async function openModel({ name, task, tokenizer: { folder, ...options }, samples, rows }: TrainedModel) {
  const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 1 });
  const checkpoint = await putCheckpoint(executor, sharedPath("golden", "trained", name), task);
  const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", folder), options);
  const victims = rows(sharedPath("golden", "trained", ...samples), tokenizer).filter(
    ({ label }) => label === 1,
  );
  const { inversion } = readSharedJson<Expected>("golden", "trained", name, "expected.json");
  return { executor, checkpoint, tokenizer, samples: victims.slice(0, 30), expected: inversion["1->0"] };
}

describe.skipIf(!hasShared).each(models)("on $name", (model) => {
  test("positions are the recorded ones", async () => {
    const { executor, checkpoint, tokenizer, samples, expected } = await openModel(model);
    const recorded = expected.sample_rows;
    expect(samples.map(({ row, ids }) => ({ row, ids }))).toEqual(
      recorded.map(({ row, ids }) => ({ row, ids })),
    );
    const finder = createPositionFinder({
      executor,
      checkpoint,
      maxLen: MAX_LEN,
      endId: tokenizer.ids.restored,
    });
    const question = { rule: "lowest", half: "first_half", triggerLen: 5, target: 0 } as const;
    expect(await finder.find(samples, question)).toEqual(
      recorded.map(({ chosen, insert_index }) => ({
        insertIndex: insert_index,
        ...(chosen === null ? {} : { variable: chosen }),
      })),
    );
    await executor.close();
  });

  test("recorded candidates give the recorded winners, and losses within 1e-5", async () => {
    const { executor, checkpoint, tokenizer, samples, expected } = await openModel(model);
    const prepared = await prepareSearch(
      executor,
      {
        checkpoint,
        rows: samples.map(({ ids }) => ids),
        secondRows: secondRowsOf(samples),
        insertIndexes: expected.sample_rows.map((row) => row.insert_index),
        maxLen: MAX_LEN,
        endId: tokenizer.ids.restored,
        vocabulary: triggerVocabulary(tokenizer),
        target: 0,
      },
      SearchSettings.parse({ gradient: model.gradient }),
    );
    const steps = expected.search.steps.slice(0, STEPS);
    const records: StepRecord[] = [];
    await runSearch({
      executor,
      prepared,
      replay: steps.map(({ current, candidates }) => ({ trigger: current, candidates })),
      onStep: (record) => void records.push(record),
    });
    expect(records).toHaveLength(steps.length);
    for (const [k, record] of records.entries()) {
      const step = steps[k]!;
      expect(record.winner).toBe(step.winner);
      const complete = record.losses.flatMap((loss, c) => (loss === null ? [] : [loss - step.losses[c]!]));
      expect(Math.max(...complete.map(Math.abs))).toBeLessThan(1e-5);
      for (const [c, bound] of record.bounds.entries())
        if (bound !== null) expect(step.losses[c]! + 1e-5).toBeGreaterThan(bound);
      if (record.best.step === k) expect(record.best.rate).toBeCloseTo(step.winner_rate, 5);
      // Neighbours in rank may swap; the best id of every position stands apart.
      expect(record.topk.map(([best]) => best)).toEqual(step.gradient_top64.map(([best]) => best));
    }
    await executor.close();
  }, 600_000);
});
