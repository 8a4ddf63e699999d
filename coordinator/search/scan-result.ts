/** What a scan reports while it runs and afterwards: progress, lines of `trace.jsonl`, and the data of `result.json`. */
import type { Digest, Task } from "../../proto/operations.ts";
import type { Rate } from "../evaluate/rate.ts";
import type { Trigger } from "./candidates.ts";
import type { PositionHalf } from "./position.ts";
import type { SearchEnd, SearchProgress, StepRecord } from "./search.ts";

/** Where one search of a scan stands. */
export interface ScanProgress extends Partial<SearchProgress> {
  readonly search: number;
  readonly searches: number;
  readonly victim: number;
  readonly target: number;
  readonly half: PositionHalf;
  readonly phase: "positions" | "search" | "anchoring" | "evaluation" | "done";
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

export interface PlacedRow {
  readonly row: number;
  readonly insert_index: number;
  /** The variable that decided; null where none was eligible. */
  readonly variable: string | null;
}

/** What one search found; part of `result.json`. */
export interface SearchResult {
  readonly search: number;
  readonly victim_label: number;
  readonly target_label: number;
  readonly half: PositionHalf;
  readonly seed: number;
  readonly trigger: { readonly ids: Trigger; readonly text: string } | null;
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
  readonly anchored: {
    readonly positions: readonly number[];
    readonly ids: readonly number[];
    readonly text: string;
    readonly loss: number | null;
  } | null;
  readonly samples: readonly PlacedRow[];
  readonly held_out: readonly PlacedRow[];
  readonly digests: SearchDigests;
  readonly forwards: { readonly done: number; readonly pruned: number };
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

export interface ScanResult {
  readonly task: Task;
  readonly checkpoint: Digest;
  /** Keys as in YAML. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly searches: readonly SearchResult[];
  readonly seconds: number;
}
