/** What a scan reports while it runs and afterwards: progress, lines of `trace.jsonl`, and the data of `result.json`. */
import type { Digest, Task } from "../../proto/operations.ts";
import type { Trigger } from "./candidates.ts";
import type { TimedTile } from "./measured-tile.ts";
import type { PairStepRecord } from "./pair-search.ts";
import type { Position, PositionHalf } from "./position.ts";
import type { Rate } from "./rate.ts";
import type { HalfCounts, SearchProgress, StepRecord } from "./search.ts";
import type { SearchEnd } from "./search-end.ts";

/** Tasks whose models answer with a label. */
export type ClassifierTask = Exclude<Task, "code_search">;

/** Where one search of a scan stands. */
export interface ScanProgress extends Partial<Omit<SearchProgress, "best">> {
  readonly search: number;
  readonly searches: number;
  /** The labels of the search's direction; absent in code search. */
  readonly victim?: number;
  readonly target?: number;
  readonly half: PositionHalf;
  readonly phase: "positions" | "search" | "anchoring" | "evaluation" | "done";
  /** The best trigger so far, in code search with its target. */
  readonly best?: { readonly trigger: Trigger; readonly target?: Trigger; readonly loss: number } | null;
}

/** First line of a search in a trace: all that is needed to check its steps without us. */
export interface SearchRecord {
  readonly kind: "search";
  readonly search: number;
  readonly victim_label: number;
  readonly target_label: number;
  readonly half: PositionHalf;
  readonly seed: number;
  readonly max_len: number;
  readonly end_id: number;
  /** The index that candidates were scored at, where it is not each sample's own. */
  readonly score_index: number | null;
  readonly samples: readonly {
    readonly row: number;
    readonly ids: readonly number[];
    /** Clone detection: the second snippet. */
    readonly ids_2?: readonly number[];
    readonly insert_index: number;
  }[];
}

export type TraceRecord = SearchRecord | ({ readonly kind: "step"; readonly search: number } & StepRecord);

/** First line of a code-search search in a trace. */
export interface PairSearchRecord {
  readonly kind: "search";
  readonly search: number;
  readonly half: PositionHalf;
  readonly seed: number;
  readonly max_len: number;
  readonly nl_max_len: number;
  readonly end_id: number;
  /** The index in the codes that candidates were scored at, where it is not each sample's own. */
  readonly score_index: number | null;
  readonly samples: readonly {
    readonly row: number;
    readonly ids: readonly number[];
    readonly insert_index: number;
    readonly query_ids: readonly number[];
    readonly query_insert_index: number;
  }[];
}

export type PairTraceRecord =
  | PairSearchRecord
  | ({ readonly kind: "step"; readonly search: number } & PairStepRecord);

export interface PlacedRow {
  readonly row: number;
  readonly insert_index: number;
  /** The variable that decided; null where none was eligible. */
  readonly variable: string | null;
}

/** A row with its place, as reports name it. */
export const placedRow = (
  { row }: { readonly row: number },
  { insertIndex, variable }: Position,
): PlacedRow => ({ row, insert_index: insertIndex, variable: variable ?? null });

/** Token ids with their text, as the tokenizer joins it. */
export interface FoundTokens {
  readonly ids: Trigger;
  readonly text: string;
}

/** What anchoring left of a trigger. */
export interface AnchoredTokens {
  readonly positions: readonly number[];
  readonly ids: readonly number[];
  readonly text: string;
  readonly loss: number | null;
}

/** What one search found; part of `result.json`. */
export interface SearchResult {
  readonly search: number;
  readonly victim_label: number;
  readonly target_label: number;
  readonly half: PositionHalf;
  readonly seed: number;
  readonly trigger: FoundTokens | null;
  /** Mean loss of the trigger over the search's samples, in nats. */
  readonly loss: number | null;
  /** Step that found it, of `steps` done. */
  readonly best_step: number | null;
  readonly steps: number;
  readonly ended: SearchEnd;
  /** Rows answered with the target label, with the trigger at each row's own index. */
  readonly asr: { readonly samples: Rate; readonly held_out: Rate } | null;
  readonly without_trigger: { readonly samples: Rate; readonly held_out: Rate };
  /** What anchoring left of the trigger. */
  readonly anchored: AnchoredTokens | null;
  readonly samples: readonly PlacedRow[];
  readonly held_out: readonly PlacedRow[];
  readonly digests: SearchDigests;
  readonly forwards: { readonly done: number; readonly pruned: number };
  /** With `precision fp16`: what it did. The winners are those of float32. */
  readonly half_precision?: HalfCounts;
  readonly seconds: number;
}

/** Artifacts that a search worked on. */
export interface SearchDigests {
  readonly samples: Digest;
  /** The sample set that candidates were scored on; another one than `samples` only with a constant score index. */
  readonly score_samples: Digest;
  readonly vocabulary: Digest;
  /** Names all of them together with the settings. */
  readonly search: Digest;
}

/** Average normalised rank of a code from the middle of a query's answers once the trigger is in it: 0 is first, 1 last. */
export interface SplicedRank {
  /** Null where there is no row. */
  readonly anr: number | null;
  /** The same before the trigger goes in. */
  readonly without_trigger: number | null;
  /** Queries, each with the target in it, and codes that each is searched in: all rows' own. */
  readonly queries: number;
  readonly codes: number;
}

/** What one search for a trigger and a target found; part of `result.json`. */
export interface PairSearchResult {
  readonly search: number;
  readonly half: PositionHalf;
  readonly seed: number;
  /** What goes into the codes. */
  readonly trigger: FoundTokens | null;
  /** What goes into the queries, at index 1; no ids where a trigger alone was searched. */
  readonly target: FoundTokens | null;
  /** Mean of (score − 1)² over the search's queries × codes, with trigger and target in them. */
  readonly loss: number | null;
  /** Step that found it, of `steps` done. */
  readonly best_step: number | null;
  readonly steps: number;
  readonly ended: SearchEnd;
  readonly anr: { readonly samples: SplicedRank; readonly held_out: SplicedRank } | null;
  /** What anchoring left of the trigger, with the target kept. */
  readonly anchored: AnchoredTokens | null;
  readonly samples: readonly PlacedRow[];
  readonly held_out: readonly PlacedRow[];
  readonly digests: PairSearchDigests;
  /** Encodings of codes and queries; none is pruned. */
  readonly forwards: { readonly done: number; readonly pruned: number };
  /** Blocks of score matrices of pairs. */
  readonly blocks: { readonly done: number; readonly pruned: number };
  readonly seconds: number;
}

/** Artifacts that a search for a trigger and a target worked on. */
export interface PairSearchDigests {
  readonly codes: Digest;
  /** The codes that candidates were encoded from; another set than `codes` only with a constant score index. */
  readonly score_codes: Digest;
  readonly queries: Digest;
  readonly vocabulary: Digest;
  /** Names all of them together with the settings. */
  readonly search: Digest;
}

interface ScanOf<T extends Task, S> {
  readonly task: T;
  readonly checkpoint: Digest;
  /** Device class of every result that it was made from: provider, onnxruntime's version, hardware, program form and version; null where nobody says. */
  readonly device: string | null;
  /** Keys as in YAML. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Where `tile` was measured: tokens of each tile that was tried, and seconds. */
  readonly timed_tiles?: readonly TimedTile[];
  readonly searches: readonly S[];
  readonly seconds: number;
}

export type ClassifierScanResult = ScanOf<ClassifierTask, SearchResult>;
export type PairScanResult = ScanOf<"code_search", PairSearchResult>;
export type ScanResult = ClassifierScanResult | PairScanResult;
