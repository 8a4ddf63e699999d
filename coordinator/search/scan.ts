/** A scan: all searches of one model, and what each found. It says what was found, and gives no verdict. */
import type { Digest, Executor } from "../../proto/operations.ts";
import { VectorCache } from "../../proto/vector-cache.ts";
import { anchorTrigger } from "./anchoring.ts";
import type { Trigger } from "./candidates.ts";
import { type ChosenTile, committedTile, once, type TileQuestion } from "./measured-tile.ts";
import { type Commits, runSearches, type SearchSurroundings } from "./planned-searches.ts";
import type { Position } from "./position.ts";
import {
  createPositionFinder,
  type MaskedAnswers,
  type PositionFinder,
  type ScanRow,
  secondRowsOf,
} from "./positions.ts";
import { ANSWER_BYTES, type PredictContext } from "./predict.ts";
import { type PreparedSearch, prepareSearch } from "./problem.ts";
import { type Rate, rateOf } from "./rate.ts";
import type { ReplayedStep } from "./replay.ts";
import { type PlannedSearch, planScan, type ScanRows } from "./scan-plan.ts";
import {
  type ClassifierScanResult,
  type ClassifierTask,
  type PlacedRow,
  placedRow,
  type ScanProgress,
  type SearchRecord,
  type SearchResult,
  type TraceRecord,
} from "./scan-result.ts";
import { runSearch, type SearchProgress, type SearchState } from "./search.ts";
import { type ScanSettings, searchSettings, withYamlKeys } from "./settings.ts";
import { meanLosses } from "./step.ts";
import { countTarget } from "./success-rate.ts";

export interface ScanInput extends ScanRows {
  readonly task: ClassifierTask;
  readonly checkpoint: Digest;
  /** Ids that a trigger may use, ascending. */
  readonly vocabulary: readonly number[];
  /** Id that the last column of a full row gets after stamping. */
  readonly endId: number;
  /** Text of trigger ids, as the tokenizer joins them. */
  readonly textOf: (ids: readonly number[]) => string;
}

export interface ScanRun extends Commits<SearchState, TraceRecord, SearchResult> {
  readonly executor: Pick<Executor, "execute" | "putArtifact" | "deviceClass">;
  readonly input: ScanInput;
  readonly settings: ScanSettings;
  /** Steps to replay, by search number. */
  readonly replay?: ReadonlyMap<number, readonly ReplayedStep[]> | undefined;
  readonly signal?: AbortSignal;
  /** What the model was asked about rows; absent: the searches share one of their own. */
  readonly answers?: VectorCache | undefined;
  /** Seconds since any fixed moment; used for durations only. */
  readonly now: () => number;
  readonly onProgress?: (progress: ScanProgress) => void;
  /** Lines of `trace.jsonl`, in the order of the searches however many run at a time; none that an earlier run committed. */
  readonly onTrace?: (record: TraceRecord) => void;
}

export async function runScan(run: ScanRun): Promise<ClassifierScanResult> {
  const { executor, input, settings, now } = run;
  const started = now();
  const searches = planScan(input, settings);
  // Halves and seeds share what the model says of masked rows, and of rows without trigger.
  const masked = new Map<ScanRow, MaskedAnswers>();
  const answers = run.answers ?? new VectorCache(ANSWER_BYTES);
  const shared = { ...run, inFlight: settings.searchesInFlight };
  const chosen = once(() => committedTile(settings.tile, tileQuestion(run, searches[0]!.samples), run));
  const results = await runSearches(searches, shared, (planned, surroundings) => {
    const context: PredictContext = {
      executor,
      checkpoint: input.checkpoint,
      maxLen: settings.codeMaxLen,
      endId: input.endId,
      signal: surroundings.signal,
      answers,
    };
    const finder = createPositionFinder(context, masked);
    return runPlanned(planned, run, { ...surroundings, context, finder, chosen, total: searches.length });
  });
  const { tile, timed } = await chosen();
  return {
    task: input.task,
    checkpoint: input.checkpoint,
    device: executor.deviceClass ?? null,
    settings: withYamlKeys({ ...settings, tile }),
    ...(timed && { timed_tiles: timed }),
    searches: results,
    seconds: now() - started,
  };
}

interface Surroundings extends SearchSurroundings<SearchState, TraceRecord> {
  readonly context: PredictContext;
  readonly finder: PositionFinder;
  /** The scan's tile; asked for after the first operations, which tell the device. */
  readonly chosen: () => Promise<ChosenTile>;
  readonly total: number;
}

const tileQuestion = (
  { executor, input, settings, signal }: ScanRun,
  samples: readonly ScanRow[],
): TileQuestion => ({
  executor,
  checkpoint: input.checkpoint,
  task: input.task,
  rows: samples.map(({ ids }) => ids),
  secondRows: secondRowsOf(samples),
  maxLen: settings.codeMaxLen,
  endId: input.endId,
  repeatSize: settings.repeatSize,
  signal,
});

/** One search, from its positions to its success rates. */
async function runPlanned(
  planned: PlannedSearch,
  run: ScanRun,
  { context, finder, trace, chosen, total, ...from }: Surroundings,
): Promise<SearchResult> {
  const { input, settings, now } = run;
  const { search, victim, target, half, seed, samples, heldOut } = planned;
  const started = now();
  const report = (phase: ScanProgress["phase"], progress: Partial<SearchProgress> = {}): void =>
    run.onProgress?.({ search, searches: total, victim, target, half, phase, ...progress });

  report("positions");
  const placed = await place(samples, finder, planned, settings);
  const prepared = await prepareSearch(
    run.executor,
    {
      checkpoint: input.checkpoint,
      rows: samples.map(({ ids }) => ids),
      secondRows: secondRowsOf(samples),
      insertIndexes: placed.insertIndexes,
      maxLen: context.maxLen,
      endId: context.endId,
      vocabulary: input.vocabulary,
      target,
    },
    searchSettings({ ...settings, tile: (await chosen()).tile }, seed),
  );
  trace.open(openingRecord(planned, prepared));
  const state = await runSearch({
    executor: run.executor,
    prepared,
    state: from.state,
    replay: run.replay?.get(search),
    signal: context.signal,
    onProgress: (progress) => report("search", progress),
    onStep: (record, after) => trace.step({ kind: "step", search, ...record }, after),
  });
  await trace.end(state);
  const { best } = state;

  report("anchoring", { best });
  const asking = { executor: run.executor, prepared, signal: context.signal };
  const anchored =
    best &&
    (await anchorTrigger(best.trigger, best.loss, settings, (triggers) => meanLosses(triggers, asking)));

  report("evaluation", { best });
  const placedHeldOut = await place(heldOut, finder, planned, settings);
  const rates = async (trigger: Trigger) => ({
    samples: await rateWith(placed, { trigger, target }, context),
    held_out: await rateWith(placedHeldOut, { trigger, target }, context),
  });
  const result: SearchResult = {
    search,
    victim_label: victim,
    target_label: target,
    half,
    seed,
    trigger: best && { ids: best.trigger, text: input.textOf(best.trigger) },
    loss: best?.loss ?? null,
    best_step: best?.step ?? null,
    steps: state.step,
    ended: state.ended ?? "epochs",
    asr: best && (await rates(best.trigger)),
    without_trigger: await rates([]),
    anchored: anchored && {
      positions: anchored.positions,
      ids: anchored.ids,
      text: input.textOf(anchored.ids),
      loss: anchored.loss ?? null,
    },
    samples: placedRows(placed),
    held_out: placedRows(placedHeldOut),
    digests: {
      samples: prepared.gradientSamples,
      score_samples: prepared.scoreSamples,
      vocabulary: prepared.vocabulary,
      search: prepared.digest,
    },
    forwards: state.forwards,
    ...(state.half && { half_precision: state.half }),
    seconds: now() - started,
  };
  report("done", { best });
  return result;
}

function openingRecord(planned: PlannedSearch, { problem, settings }: PreparedSearch): SearchRecord {
  const { search, victim, target, half, seed, samples } = planned;
  return {
    kind: "search",
    search,
    victim_label: victim,
    target_label: target,
    half,
    seed,
    max_len: problem.maxLen,
    end_id: problem.endId,
    score_index: settings.scoreIndex === "own" ? null : settings.scoreIndex,
    samples: samples.map(({ row, ids, secondIds }, k) => ({
      row,
      ids,
      ...(secondIds === undefined ? {} : { ids_2: secondIds }),
      insert_index: problem.insertIndexes[k]!,
    })),
  };
}

/** Rows, and where the trigger goes into each. */
interface Placed {
  readonly rows: readonly ScanRow[];
  readonly insertIndexes: readonly number[];
  readonly positions: readonly Position[];
}

async function place(
  rows: readonly ScanRow[],
  finder: PositionFinder,
  { half, target }: PlannedSearch,
  { position, triggerLen }: ScanSettings,
): Promise<Placed> {
  const positions = await finder.find(rows, { rule: position, half, triggerLen, target });
  return { rows, insertIndexes: positions.map(({ insertIndex }) => insertIndex), positions };
}

async function rateWith(
  { rows, insertIndexes }: Placed,
  stamped: { readonly trigger: Trigger; readonly target: number },
  context: PredictContext,
): Promise<Rate> {
  const ids = rows.map((row) => row.ids);
  const spliced = { rows: ids, secondRows: secondRowsOf(rows), insertIndexes };
  return rateOf(await countTarget(spliced, stamped, context));
}

const placedRows = ({ rows, positions }: Pick<Placed, "rows" | "positions">): PlacedRow[] =>
  rows.map((row, k) => placedRow(row, positions[k]!));
