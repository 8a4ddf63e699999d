import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readDefectRows } from "../../data/samples.ts";
import { triggerVocabulary } from "../../data/vocabulary.ts";
import { SearchInputError } from "../../search/problem.ts";
import { readReplay } from "../../search/replay.ts";
import { runScan } from "../../search/scan.ts";
import { type PlannedSearch, planScan } from "../../search/scan-plan.ts";
import type { ScanProgress, ScanResult, TraceRecord } from "../../search/scan-result.ts";
import { scanRows } from "../../search/scan-rows.ts";
import type { ScanSettings } from "../../search/settings.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import type { ClusterContext, SearchMeter } from "../command.ts";
import { generalOptions, modelOptions, outOption, samplesOption, seedOption } from "../common-options.ts";
import { requireDirection } from "../direction.ts";
import { InputError } from "../errors.ts";
import { readInputFile } from "../input-file.ts";
import { type OpenedModel, openTokenizer, openWholeModel, publishCheckpoint } from "../open-model.ts";
import type { OptionSpecs, Parsed } from "../options.ts";
import { openLineFile, requireFreshFolder, writeFolderWhole } from "../output.ts";
import { scanSettingsOf, searchOptions } from "../scan-options.ts";
import { scanTable } from "../show-scan.ts";

const options = {
  ...modelOptions,
  ...samplesOption,
  ...searchOptions,
  ...outOption,
  ...seedOption,
  ...generalOptions,
} satisfies OptionSpecs;

export type ScanOptions = Parsed<typeof options>;

export const scan = defineClusterCommand({
  name: "scan",
  summary: "invert triggers: find short token sequences that flip the model's answer",
  help: `
Searches, for every label direction, a trigger that makes the model answer the target label on rows of the victim label, and measures it on
rows that the search never saw. Writes result.json (and trace.jsonl with --trace) into --out. A scan reports what it found; clean models
have invertible triggers too, so it gives no verdict.

  elibad scan --model suspicious/ --base codebert-base/ --samples clean_samples.jsonl --held-out test.jsonl --out scan-1
  elibad scan … --victim-label 1 --target-label 0 --directions one --epochs 25 --trace --out scan-2`,
  options,
  async check(given) {
    requireFreshFolder(given.out);
    await prepareScan(given);
  },
  async compute(given, context): Promise<ScanResult> {
    requireFreshFolder(given.out);
    let result: ScanResult | undefined;
    await writeFolderWhole(given.out, async (aside) => {
      result = await scanInto(given, await prepareScan(given), context, aside);
    });
    return result!;
  },
  show: (result: ScanResult): string => scanTable(result),
});

/** A scan's input, read and checked. */
export interface PreparedScan {
  readonly opened: OpenedModel;
  readonly settings: ScanSettings;
  readonly replay: ReturnType<typeof readReplay> | undefined;
  readonly input: Omit<Parameters<typeof runScan>[0]["input"], "checkpoint">;
}

/** The options that a scan reads, also as part of `clean`. */
export type ScanInputOptions = Omit<ScanOptions, "out" | "json" | "config">;

/** Reads and checks everything that a scan needs, before a worker is asked for anything. */
export async function prepareScan(given: ScanInputOptions): Promise<PreparedScan> {
  const settings = scanSettingsOf(given);
  const opened = await openWholeModel(given);
  if (given.directions === "one") requireDirection(given, opened.labels);
  const tokenizer = openTokenizer(given, opened);
  const rowsOf = (file: string) =>
    scanRows(
      readDefectRows(file, { need: ["variables"], labels: opened.labels }),
      tokenizer,
      settings.codeMaxLen,
    );
  const bad = settings.init?.find((id) => id >= opened.config.vocabSize);
  if (bad !== undefined) {
    throw new InputError(
      `--init ${settings.init!.join(",")}: id ${bad} is not in the model's vocabulary of ${opened.config.vocabSize}`,
    );
  }
  const input: PreparedScan["input"] = {
    task: opened.task,
    rows: rowsOf(given.samples),
    ...(given.heldOut === undefined ? {} : { heldOut: rowsOf(given.heldOut) }),
    classes: opened.layout.classes,
    vocabulary: triggerVocabulary(tokenizer),
    endId: tokenizer.ids.restored,
    textOf: (ids) => tokenizer.decode(ids),
  };
  const { triggerLen } = settings;
  const replay =
    given.replay === undefined
      ? undefined
      : readReplay(readInputFile("--replay ", given.replay).split("\n"), given.replay, {
          triggerLen,
          vocabSize: opened.config.vocabSize,
        });
  checkPlan(given, { settings, input, replay });
  return {
    opened,
    settings,
    replay,
    input,
  };
}

/** Checks the searches that the options ask for against the samples and the trace. */
function checkPlan(
  { samples: file, replay: trace }: ScanInputOptions,
  { settings, input, replay }: Omit<PreparedScan, "opened">,
): void {
  const { scoreIndex } = settings;
  for (const { search, samples } of plannedSearches(file, input, settings)) {
    const short = scoreIndex === "own" ? undefined : samples.find(({ ids }) => ids.length < scoreIndex);
    if (short !== undefined) {
      throw new InputError(
        `--score-index ${scoreIndex}: row ${short.row} (from 0) of ${file} has only ${short.ids.length} tokens`,
      );
    }
    if (replay !== undefined && !replay.has(search)) {
      throw new InputError(`--replay ${trace}: has no step of search ${search}; the trace is another scan's`);
    }
  }
}

function plannedSearches(
  file: string,
  input: PreparedScan["input"],
  settings: ScanSettings,
): PlannedSearch[] {
  try {
    return planScan(input, settings);
  } catch (error) {
    throw error instanceof SearchInputError ? new InputError(`--samples ${file}: ${error.message}`) : error;
  }
}

/** Runs the searches and writes `result.json`, and `trace.jsonl` where asked for, into a folder. */
export async function scanInto(
  given: ScanInputOptions,
  { opened, settings, input, replay }: PreparedScan,
  { executor, display, signal, meter }: ClusterContext,
  folder: string,
): Promise<ScanResult> {
  const trace = given.trace ? openLineFile(join(folder, "trace.jsonl")) : undefined;
  const checkpoint = await publishCheckpoint(executor, opened);
  const counted = countSearches(meter);
  const show = showProgress(display, settings, input.textOf);
  let result: ScanResult;
  try {
    result = await runScan({
      executor,
      input: { ...input, checkpoint },
      settings,
      ...(replay ? { replay } : {}),
      signal,
      now: () => performance.now() / 1000,
      onProgress(progress) {
        counted.observe(progress);
        show(progress);
      },
      onTrace: (record: TraceRecord) => trace?.write(record),
    });
  } catch (error) {
    trace?.discard();
    throw error;
  } finally {
    counted.close();
  }
  await trace?.commit();
  writeFileSync(join(folder, "result.json"), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}

/** Counts searches that run, and the seconds of their steps, for the coordinator's metrics. */
function countSearches(meter: SearchMeter): { observe(progress: ScanProgress): void; close(): void } {
  const running = new Map<number, { step: number; since: number }>();
  return {
    observe({ search, phase, step = 0 }) {
      const now = performance.now();
      const known = running.get(search);
      if (known === undefined) {
        if (phase !== "search") return;
        meter.searchStarted();
        running.set(search, { step, since: now });
      } else if (phase === "done") {
        meter.searchEnded();
        running.delete(search);
      } else if (step > known.step) {
        meter.stepDone((now - known.since) / 1000 / (step - known.step));
        running.set(search, { step, since: now });
      }
    },
    // Searches that an error or an interruption ended.
    close() {
      for (const _ of running) meter.searchEnded();
      running.clear();
    },
  };
}

/** One bar for all searches: steps done of all, the best loss and trigger of the search that moved, forwards per second. */
function showProgress(
  display: ClusterContext["display"],
  settings: ScanSettings,
  textOf: (ids: readonly number[]) => string,
): (progress: ScanProgress) => void {
  const steps = new Map<number, number>();
  const forwards = new Map<number, number>();
  const started = performance.now();
  const total = (values: Map<number, number>): number =>
    [...values.values()].reduce((sum, value) => sum + value, 0);
  return (progress) => {
    if (progress.step !== undefined) steps.set(progress.search, progress.step);
    if (progress.phase === "done") steps.set(progress.search, settings.epochs);
    if (progress.forwardsDone !== undefined) forwards.set(progress.search, progress.forwardsDone);
    const seconds = (performance.now() - started) / 1000;
    display.progress({
      phase: progress.searches > 1 ? `scan, ${progress.searches} searches` : "scan",
      done: total(steps),
      total: settings.epochs * progress.searches,
      unit: "step",
      fields: {
        direction: `${progress.victim}→${progress.target}`,
        ...(progress.phase === "search" || progress.phase === "done" ? {} : { doing: progress.phase }),
        ...(progress.best ? { "best loss": progress.best.loss, trigger: textOf(progress.best.trigger) } : {}),
        "forwards/s": Math.round(total(forwards) / Math.max(seconds, 1e-3)),
      },
    });
  };
}
