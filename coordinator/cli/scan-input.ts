import { type OptionalField, readDefectRows } from "../data/samples.ts";
import { readSearchRows } from "../data/search-rows.ts";
import { triggerVocabulary } from "../data/vocabulary.ts";
import type { PairRow } from "../search/pair-positions.ts";
import { type PairScanInput, planPairScan } from "../search/pair-scan.ts";
import type { ScanRow } from "../search/positions.ts";
import { SearchInputError } from "../search/problem.ts";
import {
  type ReplayedPairStep,
  type ReplayedStep,
  type ReplayLimits,
  readPairReplay,
  readReplay,
} from "../search/replay.ts";
import type { ScanInput } from "../search/scan.ts";
import { planScan } from "../search/scan-plan.ts";
import type { ClassifierTask } from "../search/scan-result.ts";
import { cloneScanRows, pairRows, scanRows } from "../search/scan-rows.ts";
import type { PairScanSettings, ScanSettings } from "../search/settings.ts";
import { directionOf, requireDirection } from "./direction.ts";
import { InputError } from "./errors.ts";
import { readInputFile } from "./input-file.ts";
import { type OpenedModel, openTokenizer, openWholeModel } from "./open-model.ts";
import type { Parsed } from "./options.ts";
import { cloneRowsOf } from "./sample-files.ts";
import { type PairScanOptions, pairSettingsOf, scanSettingsOf, type searchOptions } from "./scan-options.ts";

/** A scan's input, read and checked. */
export interface Prepared<Settings, Input, Step> {
  readonly opened: OpenedModel;
  readonly settings: Settings;
  readonly replay: ReadonlyMap<number, readonly Step[]> | undefined;
  readonly input: Omit<Input, "checkpoint">;
}

export type PreparedScan = Prepared<ScanSettings, ScanInput, ReplayedStep>;
export type PreparedPairScan = Prepared<PairScanSettings, PairScanInput, ReplayedPairStep>;

/** Files and model of a scan, whatever its task. */
interface ScanFiles {
  readonly model: string;
  readonly base?: string | undefined;
  readonly arch?: Parameters<typeof openTokenizer>[0]["arch"];
  readonly samples: string;
  readonly seed: number;
}

/** The options that a scan of a classifier reads, also as part of `clean`. */
export type ScanInputOptions = ScanFiles &
  Parsed<typeof searchOptions> & {
    readonly task: ClassifierTask;
    readonly codeMaxLen: number;
    readonly pairs?: string | undefined;
    readonly heldOutPairs?: string | undefined;
  };

/** The options that a scan of a code-search model reads. */
export type PairScanInputOptions = ScanFiles &
  PairScanOptions & { readonly codeMaxLen: number; readonly nlMaxLen: number };

/** Reads and checks everything that a scan of a classifier needs, before a worker is asked for anything. */
export async function prepareScan(given: ScanInputOptions): Promise<PreparedScan> {
  const { heldOut, heldOutPairs } = given;
  if (heldOutPairs !== undefined && heldOut === undefined)
    throw new InputError(`--held-out-pairs ${heldOutPairs}: needs --held-out, the functions that it names`);
  const settings = scanSettingsOf(given);
  const opened = await openWholeModel(given);
  // Also where all directions are searched: a label that the model does not have is a mistake.
  requireDirection(directionOf(given), opened.labels);
  const tokenizer = openTokenizer(given, opened);
  const need: OptionalField[] = ["variables"];
  const { labels } = opened;
  const rowsOf = (samples: string, pairs: string | undefined): ScanRow[] =>
    given.task === "clone_detection"
      ? cloneScanRows(cloneRowsOf({ samples, pairs }, { need, labels }), tokenizer, settings.codeMaxLen)
      : scanRows(readDefectRows(samples, { need, labels }), tokenizer, settings.codeMaxLen);
  requireKnownInit(settings.init, opened);
  const input: PreparedScan["input"] = {
    task: given.task,
    rows: rowsOf(given.samples, given.pairs),
    ...(heldOut === undefined ? {} : { heldOut: rowsOf(heldOut, heldOutPairs) }),
    classes: opened.layout.classes,
    vocabulary: triggerVocabulary(tokenizer),
    endId: tokenizer.ids.restored,
    textOf: (ids) => tokenizer.decode(ids),
  };
  const { triggerLen } = settings;
  const replay = replayOf(given, opened, (lines, file, limits) =>
    readReplay(lines, file, { ...limits, triggerLen }),
  );
  const searches = asInput(given.samples, () => planScan(input, settings));
  checkPlan(searches, given, { scoreIndex: settings.scoreIndex, replay });
  return { opened, settings, replay, input };
}

/** The same of a code-search model. */
export async function preparePairScan(given: PairScanInputOptions): Promise<PreparedPairScan> {
  const settings = pairSettingsOf(given);
  const opened = await openWholeModel({ ...given, task: "code_search" });
  const tokenizer = openTokenizer(given, opened);
  const rowsOf = (file: string): PairRow[] => pairRows(readSearchRows(file), tokenizer, settings);
  requireKnownInit(settings.init, opened);
  const input: PreparedPairScan["input"] = {
    rows: rowsOf(given.samples),
    ...(given.heldOut === undefined ? {} : { heldOut: rowsOf(given.heldOut) }),
    vocabulary: triggerVocabulary(tokenizer),
    endId: tokenizer.ids.restored,
    textOf: (ids) => tokenizer.decode(ids),
  };
  const { triggerLen, targetLen } = settings;
  const replay = replayOf(given, opened, (lines, file, limits) =>
    readPairReplay(lines, file, { ...limits, triggerLen, targetLen }),
  );
  const searches = asInput(given.samples, () => planPairScan(input, settings));
  checkPlan(searches, given, { scoreIndex: settings.scoreIndex, replay });
  return { opened, settings, replay, input };
}

function requireKnownInit(init: readonly number[] | undefined, { config }: OpenedModel): void {
  const bad = init?.find((id) => id >= config.vocabSize);
  if (bad === undefined) return;
  throw new InputError(
    `--init ${init!.join(",")}: id ${bad} is not in the model's vocabulary of ${config.vocabSize}`,
  );
}

const replayOf = <Step>(
  { replay }: { readonly replay?: string | undefined },
  { config }: OpenedModel,
  read: (
    lines: readonly string[],
    file: string,
    limits: Pick<ReplayLimits, "vocabSize">,
  ) => Map<number, Step[]>,
): Map<number, Step[]> | undefined =>
  replay === undefined
    ? undefined
    : read(readInputFile("--replay ", replay).split("\n"), replay, { vocabSize: config.vocabSize });

/** Checks the searches that the options ask for against the samples and the trace. */
function checkPlan(
  searches: readonly {
    readonly search: number;
    readonly samples: readonly { readonly row: number; readonly ids: readonly number[] }[];
  }[],
  { samples: file, replay: trace }: { readonly samples: string; readonly replay?: string | undefined },
  {
    scoreIndex,
    replay,
  }: { readonly scoreIndex: "own" | number; readonly replay: ReadonlyMap<number, unknown> | undefined },
): void {
  for (const { search, samples } of searches) {
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

/** What a plan finds wrong with the samples, as an error of that option. */
function asInput<T>(file: string, plan: () => T): T {
  try {
    return plan();
  } catch (error) {
    throw error instanceof SearchInputError ? new InputError(`--samples ${file}: ${error.message}`) : error;
  }
}
