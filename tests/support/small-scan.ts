import { join } from "node:path";
import { readDefectRows } from "../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../coordinator/data/tokenizer.ts";
import { triggerVocabulary } from "../../coordinator/data/vocabulary.ts";
import { runScan } from "../../coordinator/search/scan.ts";
import type { TraceRecord } from "../../coordinator/search/scan-result.ts";
import { scanRows } from "../../coordinator/search/scan-rows.ts";
import { ScanSettings } from "../../coordinator/search/settings.ts";
import type { Executor, ProgramForm } from "../../proto/operations.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { demoData as data } from "./random-model.ts";

const MAX_LEN = 96;

/** Steps of a small scan: two directions, three steps each. */
export const SMALL_SCAN_STEPS = 6;

/** The lines of `trace.jsonl` of a small scan, as text: every id and every bit of every loss. */
export async function smallScan(
  executor: Executor,
  model: string,
  {
    onLine,
    programForm,
  }: { readonly onLine?: (line: string) => void; readonly programForm?: ProgramForm } = {},
): Promise<string[]> {
  const tokenizer = loadTokenizer(data);
  const rows = readDefectRows(join(data, "clean_samples.jsonl"), { need: ["variables"] });
  const lines: string[] = [];
  await runScan({
    executor,
    input: {
      task: "defect_detection",
      checkpoint: await putCheckpoint(executor, model, "defect_detection"),
      rows: scanRows(rows, tokenizer, MAX_LEN),
      classes: 1,
      vocabulary: triggerVocabulary(tokenizer),
      endId: tokenizer.ids.restored,
      textOf: (ids) => tokenizer.decode(ids),
    },
    settings: ScanSettings.parse({
      epochs: 3,
      samples: 8,
      repeatSize: 24,
      topk: 16,
      codeMaxLen: MAX_LEN,
      seed: 11,
      targetLoss: 0, // all steps are made
      programForm,
    }),
    now: () => performance.now() / 1000,
    onTrace(record: TraceRecord) {
      lines.push(JSON.stringify(record));
      onLine?.(lines.at(-1)!);
    },
  });
  return lines;
}

/** How many steps these lines of a trace hold. */
export const stepsOf = (lines: readonly string[]): number =>
  lines.filter((line) => line.includes('"kind":"step"')).length;
