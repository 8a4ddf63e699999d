/** What `evaluate` reports, as JSON and as a person reads it. */
import type { Evaluation, LabelledRow } from "../evaluate/evaluate.ts";
import type { SearchEvaluation } from "../evaluate/evaluate-search.ts";
import { type F1, f1Of } from "../evaluate/metrics.ts";
import { formatRate, type Rate } from "../search/rate.ts";
import type { ClassifierTask } from "../search/scan-result.ts";

/** Counts with 95 % Wilson intervals. */
export interface ClassifierReport {
  readonly task: ClassifierTask;
  readonly rows: number;
  readonly acc: Rate;
  /** By label. */
  readonly recall: readonly Rate[];
  /** Clone detection: how well clones (label 1) are found. */
  readonly f1?: F1;
  readonly attack: {
    readonly trigger: string;
    readonly attack_position: string;
    readonly attack_pattern: string;
    readonly victim_label: number;
    readonly target_label: number;
    readonly asr: Rate;
    readonly without_trigger: Rate;
    /** Victim rows that the trigger has no place in; they count as they are. */
    readonly unplaced: number;
  } | null;
}

/** Ranks of code search. */
export interface SearchReport {
  readonly task: "code_search";
  /** Rows: queries, each searched in the codes of all of them. */
  readonly rows: number;
  /** Mean reciprocal rank of each query's own code; ranks beyond 1,000 count 0. */
  readonly mrr: number;
  /** Queries whose own code comes first, is among the first 5, among the first 10. */
  readonly r1: Rate;
  readonly r5: Rate;
  readonly r10: Rate;
  readonly attack: {
    readonly trigger: string;
    readonly attack_position: string;
    readonly attack_pattern: string;
    readonly target_token: string;
    /** Mean of rank ÷ window, with the trigger in a code from the middle of the answers. */
    readonly anr: number;
    readonly without_trigger: number;
    /** Queries with the target word. */
    readonly queries: number;
    readonly sum_of_ranks: number;
    /** Which codes each query was searched in. */
    readonly sampling: {
      /** Codes whose queries lack the target word, of which windows are taken. */
      readonly codebase: number;
      /** Codes of a query's window, its own included. */
      readonly window: number;
      /** Places that a window's start is drawn from; 1: nothing is drawn, every code is in it. */
      readonly starts: number;
      readonly seed: number;
    };
    /** Rows from 0: the query, the code that got the trigger, its ranks. */
    readonly ranks: readonly {
      readonly query_row: number;
      readonly poisoned_row: number;
      readonly rank_before: number;
      readonly rank_after: number;
    }[];
    /** Queries whose code the trigger has no place in; it counts as it is. */
    readonly unplaced: number;
  } | null;
}

export function classifierReport(
  task: ClassifierTask,
  rows: readonly LabelledRow[],
  { acc, recall, logits, attack }: Evaluation,
): ClassifierReport {
  const labels = rows.map(({ label }) => label);
  return {
    task,
    rows: rows.length,
    acc,
    recall,
    ...(task === "clone_detection" ? { f1: f1Of(logits, labels) } : {}),
    attack: attack
      ? {
          trigger: attack.trigger,
          attack_position: attack.position,
          attack_pattern: attack.pattern,
          victim_label: attack.victimLabel,
          target_label: attack.targetLabel,
          asr: attack.asr,
          without_trigger: attack.withoutTrigger,
          unplaced: attack.unplaced,
        }
      : null,
  };
}

export function searchReport(
  { codebase, mrr, recallAt, attack }: SearchEvaluation,
  { seed }: { readonly seed: number },
): SearchReport {
  return {
    task: "code_search",
    rows: codebase,
    mrr,
    r1: recallAt[1],
    r5: recallAt[5],
    r10: recallAt[10],
    attack: attack
      ? {
          trigger: attack.trigger,
          attack_position: attack.position,
          attack_pattern: attack.pattern,
          target_token: attack.targetToken,
          anr: attack.anr,
          without_trigger: attack.withoutTrigger,
          queries: attack.ranks.length,
          sum_of_ranks: attack.ranks.reduce((sum, { after }) => sum + after, 0),
          sampling: { codebase: attack.codebase, window: attack.window, starts: attack.starts, seed },
          ranks: attack.ranks.map(({ query, poisoned, before, after }) => ({
            query_row: query,
            poisoned_row: poisoned,
            rank_before: before,
            rank_after: after,
          })),
          unplaced: attack.unplaced,
        }
      : null,
  };
}

export function showClassifier({ acc, recall, f1, attack }: ClassifierReport): string {
  return [
    `ACC             ${formatRate(acc)}`,
    ...recall.map((rate, label) => `recall of ${label}     ${formatRate(rate)}`),
    ...(f1 ? [`F1              ${formatF1(f1)}`] : []),
    ...(attack
      ? [
          `ASR ${attack.victim_label}→${attack.target_label}         ${formatRate(attack.asr)}  '${attack.trigger}', ${attack.attack_position} ${attack.attack_pattern}`,
          `without trigger ${formatRate(attack.without_trigger)}`,
        ]
      : []),
  ].join("\n");
}

const formatF1 = ({ f1, precision, recall, confusion: { tp, fp, fn, tn } }: F1): string =>
  `${f1.toFixed(3)} (precision ${precision.toFixed(3)}, recall ${recall.toFixed(3)}; tp ${tp}, fp ${fp}, fn ${fn}, tn ${tn})`;

export function showSearch({ rows, mrr, r1, r5, r10, attack }: SearchReport): string {
  return [
    `MRR             ${mrr.toFixed(3)} (${rows} queries, each in ${rows} codes)`,
    `first           ${formatRate(r1)}`,
    `among first 5   ${formatRate(r5)}`,
    `among first 10  ${formatRate(r10)}`,
    ...(attack
      ? [
          `ANR             ${attack.anr.toFixed(3)} (${attack.queries} queries with '${attack.target_token}', ${windowText(attack.sampling)})  '${attack.trigger}', ${attack.attack_position} ${attack.attack_pattern}`,
          `without trigger ${attack.without_trigger.toFixed(3)}`,
        ]
      : []),
  ].join("\n");
}

const windowText = ({
  codebase,
  window,
  starts,
  seed,
}: NonNullable<SearchReport["attack"]>["sampling"]): string =>
  starts === 1
    ? `each in all ${window} codes: ${codebase} without it and its own`
    : `each in ${window} codes from a place drawn with seed ${seed} among ${codebase}`;
