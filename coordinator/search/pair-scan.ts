/** A scan of a code-search model: all searches for a trigger and a target, and what each found. It gives no verdict. */
import type { Digest, Executor } from "../../proto/operations.ts";
import { VectorCache } from "../../proto/vector-cache.ts";
import { anchorTrigger } from "./anchoring.ts";
import { type ChosenTile, committedTile, once, type TileQuestion } from "./measured-tile.ts";
import { findPairPositions, type PairContext, type PairRow } from "./pair-positions.ts";
import { type PreparedPairSearch, preparePairSearch, type StampedRows } from "./pair-problem.ts";
import { type PairSearchProgress, type PairSearchState, runPairSearch } from "./pair-search.ts";
import { pairLosses } from "./pair-step.ts";
import { type Commits, runSearches, type SearchSurroundings } from "./planned-searches.ts";
import type { MaskedScore, Position, PositionHalf } from "./position.ts";
import { ANSWER_BYTES } from "./predict.ts";
import { SearchInputError } from "./problem.ts";
import type { ReplayedPairStep } from "./replay.ts";
import {
  type PairScanResult,
  type PairSearchRecord,
  type PairSearchResult,
  type PairTraceRecord,
  placedRow,
  type ScanProgress,
} from "./scan-result.ts";
import { type PairScanSettings, pairSearchSettings, withYamlKeys } from "./settings.ts";
import { splicedRank } from "./spliced-rank.ts";

/** Where the target goes into a query: behind its first token. */
const TARGET_INDEX = 1;

/** One search of a scan. */
export interface PlannedPairSearch {
  /** Number of the search within its scan. */
  readonly search: number;
  readonly half: PositionHalf;
  readonly seed: number;
  /** Rows that the search works on: the first ones. */
  readonly samples: readonly PairRow[];
  /** Rows that it never sees. */
  readonly heldOut: readonly PairRow[];
}

export interface PairScanRows {
  /** Clean samples, in file order. */
  readonly rows: readonly PairRow[];
  /** Clean samples that measure the pair alone; absent: the rows that the searches do not use. */
  readonly heldOut?: readonly PairRow[];
}

export interface PairScanInput extends PairScanRows {
  readonly checkpoint: Digest;
  /** Ids that trigger and target may use, ascending. */
  readonly vocabulary: readonly number[];
  /** Id that the last column of a full row gets after stamping. */
  readonly endId: number;
  /** Text of token ids, as the tokenizer joins them. */
  readonly textOf: (ids: readonly number[]) => string;
}

export interface PairScanRun extends Commits<PairSearchState, PairTraceRecord, PairSearchResult> {
  readonly executor: Pick<Executor, "execute" | "putArtifact" | "releaseArtifact" | "deviceClass">;
  readonly input: PairScanInput;
  readonly settings: PairScanSettings;
  /** Steps to replay, by search number. */
  readonly replay?: ReadonlyMap<number, readonly ReplayedPairStep[]> | undefined;
  readonly signal?: AbortSignal;
  /** Vectors of rows that the model was asked for; absent: the searches share one of their own. */
  readonly answers?: VectorCache | undefined;
  /** Seconds since any fixed moment; used for durations only. */
  readonly now: () => number;
  readonly onProgress?: (progress: ScanProgress) => void;
  /** Lines of `trace.jsonl`, in the order of the searches however many run at a time; none that an earlier run committed. */
  readonly onTrace?: (record: PairTraceRecord) => void;
}

/** All searches, in order: by half, seed. */
export function planPairScan(
  { rows, heldOut }: PairScanRows,
  settings: PairScanSettings,
): PlannedPairSearch[] {
  const samples = rows.slice(0, settings.samples);
  if (samples.length === 0) throw new SearchInputError("there is no sample");
  const contentOf = ({ ids, queryIds }: PairRow): string => [ids, queryIds].join("|");
  const seen = new Set(samples.map(contentOf));
  const unseen = (heldOut ?? rows.slice(settings.samples)).filter((row) => !seen.has(contentOf(row)));
  const seeds = Array.from({ length: settings.seeds }, (_, k) => settings.seed + k);
  return settings.halves
    .flatMap((half) => seeds.map((seed) => ({ half, seed })))
    .map((own, search) => ({ search, ...own, samples, heldOut: unseen }));
}

export async function runPairScan(run: PairScanRun): Promise<PairScanResult> {
  const { executor, input, settings, now } = run;
  const started = now();
  const searches = planPairScan(input, settings);
  // Halves and seeds share what the model says of masked rows, and of rows without trigger.
  const known = new Map<PairRow, readonly MaskedScore[]>();
  const answers = run.answers ?? new VectorCache(ANSWER_BYTES);
  const shared = { ...run, inFlight: settings.searchesInFlight };
  const chosen = once(() => committedTile(settings.tile, tileQuestion(run, searches[0]!.samples), run));
  const results = await runSearches(searches, shared, (planned, surroundings) => {
    const { checkpoint, endId } = input;
    const asking = { executor, checkpoint, endId, signal: surroundings.signal, answers };
    const contexts: PairContext = {
      codes: { ...asking, maxLen: settings.codeMaxLen },
      queries: { ...asking, maxLen: settings.nlMaxLen },
    };
    const place = async (rows: readonly PairRow[]): Promise<Placed> => {
      const question = { half: planned.half, triggerLen: settings.triggerLen };
      return { rows, positions: await findPairPositions(rows, question, contexts, known) };
    };
    return runPlanned(planned, run, { ...surroundings, contexts, place, chosen, total: searches.length });
  });
  const { tile, timed } = await chosen();
  return {
    task: "code_search",
    checkpoint: input.checkpoint,
    device: executor.deviceClass ?? null,
    settings: withYamlKeys({ ...settings, tile }),
    ...(timed && { timed_tiles: timed }),
    searches: results,
    seconds: now() - started,
  };
}

/** Rows, and where the trigger goes into each code. */
interface Placed {
  readonly rows: readonly PairRow[];
  readonly positions: readonly Position[];
}

interface Surroundings extends SearchSurroundings<PairSearchState, PairTraceRecord> {
  readonly contexts: PairContext;
  readonly place: (rows: readonly PairRow[]) => Promise<Placed>;
  /** The scan's tile; asked for after the first operations, which tell the device. */
  readonly chosen: () => Promise<ChosenTile>;
  readonly total: number;
}

const tileQuestion = (
  { executor, input, settings, signal }: PairScanRun,
  samples: readonly PairRow[],
): TileQuestion => ({
  executor,
  checkpoint: input.checkpoint,
  task: "code_search",
  rows: samples.map(({ ids }) => ids),
  maxLen: settings.codeMaxLen,
  endId: input.endId,
  repeatSize: settings.repeatSize,
  signal,
});

/** One search, from its positions to its ranks. */
async function runPlanned(
  planned: PlannedPairSearch,
  { executor, input, settings, replay, now, onProgress }: PairScanRun,
  { contexts, place, trace, chosen, total, ...from }: Surroundings,
): Promise<PairSearchResult> {
  const { search, half, seed } = planned;
  const { signal } = contexts.codes;
  const started = now();
  const report = (phase: ScanProgress["phase"], progress: Partial<PairSearchProgress> = {}): void =>
    onProgress?.({ search, searches: total, half, phase, ...progress });

  report("positions");
  const placed = await place(planned.samples);
  const prepared = await preparePairSearch(
    executor,
    {
      checkpoint: input.checkpoint,
      codes: codesOf(placed, contexts.codes),
      queries: queriesOf(placed, contexts.queries),
      vocabulary: input.vocabulary,
    },
    pairSearchSettings({ ...settings, tile: (await chosen()).tile }, seed),
  );
  trace.open(openingRecord(planned, prepared));
  const state = await runPairSearch({
    executor,
    prepared,
    state: from.state,
    replay: replay?.get(search),
    signal,
    onProgress: (progress) => report("search", progress),
    onStep: (record, after) => trace.step({ kind: "step", search, ...record }, after),
  });
  await trace.end(state);
  const { best } = state;

  report("anchoring", { best });
  const anchored =
    best &&
    (await anchorTrigger(best.trigger, best.loss, settings, (triggers) =>
      pairLosses(triggers, best.target, { executor, prepared, signal }),
    ));

  report("evaluation", { best });
  const heldOut = await place(planned.heldOut);
  const ranks = (rows: Placed) =>
    splicedRank(codesOf(rows, contexts.codes), queriesOf(rows, contexts.queries), best!, contexts);
  const { textOf } = input;
  const result: PairSearchResult = {
    search,
    half,
    seed,
    trigger: best && { ids: best.trigger, text: textOf(best.trigger) },
    target: best && { ids: best.target, text: textOf(best.target) },
    loss: best?.loss ?? null,
    best_step: best?.step ?? null,
    steps: state.step,
    ended: state.ended ?? "epochs",
    anr: best && { samples: await ranks(placed), held_out: await ranks(heldOut) },
    anchored: anchored && {
      positions: anchored.positions,
      ids: anchored.ids,
      text: textOf(anchored.ids),
      loss: anchored.loss ?? null,
    },
    samples: placed.rows.map((row, k) => placedRow(row, placed.positions[k]!)),
    held_out: heldOut.rows.map((row, k) => placedRow(row, heldOut.positions[k]!)),
    digests: {
      codes: prepared.codes.gradientSamples,
      score_codes: prepared.codes.scoreSamples,
      queries: prepared.queries.gradientSamples,
      vocabulary: prepared.vocabulary,
      search: prepared.digest,
    },
    forwards: { done: state.forwards, pruned: 0 },
    blocks: state.blocks,
    seconds: now() - started,
  };
  report("done", { best });
  return result;
}

type Limits = Pick<StampedRows, "maxLen" | "endId">;

const codesOf = ({ rows, positions }: Placed, { maxLen, endId }: Limits): StampedRows => ({
  rows: rows.map(({ ids }) => ids),
  insertIndexes: positions.map(({ insertIndex }) => insertIndex),
  maxLen,
  endId,
});

const queriesOf = ({ rows }: Placed, { maxLen, endId }: Limits): StampedRows => ({
  rows: rows.map(({ queryIds }) => queryIds),
  insertIndexes: rows.map(() => TARGET_INDEX),
  maxLen,
  endId,
});

function openingRecord(
  { search, half, seed, samples }: PlannedPairSearch,
  { problem: { codes, queries }, settings }: PreparedPairSearch,
): PairSearchRecord {
  return {
    kind: "search",
    search,
    half,
    seed,
    max_len: codes.maxLen,
    nl_max_len: queries.maxLen,
    end_id: codes.endId,
    score_index: settings.scoreIndex === "own" ? null : settings.scoreIndex,
    samples: samples.map(({ row, ids, queryIds }, k) => ({
      row,
      ids,
      insert_index: codes.insertIndexes[k]!,
      query_ids: queryIds,
      query_insert_index: queries.insertIndexes[k]!,
    })),
  };
}
