import type { Executor } from "../../proto/operations.ts";
import { stamp } from "../../proto/stamping.ts";
import type { CloneRow } from "../data/clone-rows.ts";
import {
  drawInjectedRows,
  injectIntoPairs,
  injectIntoSearch,
  injectTrigger,
  type LabelledInjection,
} from "../data/injection.ts";
import { encodeSnippet } from "../data/row-ids.ts";
import type { DefectRow } from "../data/samples.ts";
import { queryText, type SearchRow } from "../data/search-rows.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { AttackPattern, AttackPosition } from "../data/trigger-insertion.ts";
import { createPositionFinder, type ScanRow } from "../search/positions.ts";
import type { PredictContext } from "../search/predict.ts";
import { cloneScanRows, scanRows } from "../search/scan-rows.ts";
import { putSamples } from "../training/sample-artifact.ts";
import type { TrainingSamples } from "../training/trainer.ts";
import type { LabelledRows } from "./problem.ts";

/** Which rows get the trigger, and how. */
export interface Injection {
  /** `text`: put into the code as text and tokenised again; `ids`: spliced in at the row's own index. */
  readonly inject: "text" | "ids";
  readonly trigger: { readonly ids: readonly number[]; readonly text: string };
  readonly attackPosition: AttackPosition;
  readonly attackPattern: AttackPattern;
  readonly victimLabel: number;
  readonly targetLabel: number;
  /** Share of the victim rows; one draw per row. */
  readonly rate: number;
  readonly seed: number;
}

export interface InjectedRows extends LabelledRows {
  /** Rows that carry the trigger, ascending. */
  readonly injected: readonly number[];
}

type Context = PredictContext & { readonly executor: Executor };

/**
 * Clean rows with labels, some of them with the trigger and their own label: what the published plan trains on. Of two functions the first or second
 * gets it as text, drawn; as ids the first, whose own index it is.
 */
export async function injectedRows(
  rows: readonly DefectRow[] | readonly CloneRow[],
  injection: Injection,
  tokenizer: Tokenizer,
  context: Context,
): Promise<InjectedRows> {
  const { first, second, injected } =
    injection.inject === "text"
      ? asText(rows, injection, tokenizer, context.maxLen)
      : await asIds(rows, injection, tokenizer, context);
  const samples = await putSamples(context.executor, {
    rows: first,
    ...(second === undefined ? {} : { secondRows: second }),
    maxLen: context.maxLen,
    endId: context.endId,
  });
  return { samples, labels: rows.map(({ label }) => label), injected };
}

/** Rows of code search: all codes, then all queries, in the same order. */
export interface InjectedPairs {
  readonly samples: TrainingSamples;
  readonly pairs: number;
  readonly injected: readonly number[];
}

/** The same of code search, where any code may get the trigger. */
export async function injectedPairs(
  rows: readonly SearchRow[],
  { trigger, attackPosition: position, attackPattern: pattern, rate, seed }: Omit<Injection, "inject">,
  tokenizer: Tokenizer,
  { nlMaxLen, ...context }: Context & { readonly nlMaxLen: number },
): Promise<InjectedPairs> {
  const { texts, injected } = injectIntoSearch(rows, {
    trigger: trigger.text,
    position,
    pattern,
    rate,
    seed,
  });
  const samples = await putSamples(context.executor, {
    rows: [
      ...texts.map((text) => tokenizer.encodeRow(text, context.maxLen)),
      ...rows.map(({ queryTokens }) => tokenizer.encodeRow(queryText(queryTokens), nlMaxLen)),
    ],
    maxLen: Math.max(context.maxLen, nlMaxLen),
    endId: context.endId,
  });
  return { samples, pairs: rows.length, injected };
}

interface RowIds {
  readonly first: number[][];
  readonly second?: number[][];
  readonly injected: readonly number[];
}

const arePairs = (rows: readonly DefectRow[] | readonly CloneRow[]): rows is readonly CloneRow[] =>
  rows.length > 0 && "first" in rows[0]!;

function asText(
  rows: readonly DefectRow[] | readonly CloneRow[],
  injection: Injection,
  tokenizer: Tokenizer,
  maxLen: number,
): RowIds {
  const settings: LabelledInjection = {
    trigger: injection.trigger.text,
    position: injection.attackPosition,
    pattern: injection.attackPattern,
    victimLabel: injection.victimLabel,
    rate: injection.rate,
    seed: injection.seed,
  };
  const encode = (text: string): number[] => tokenizer.encodeRow(text, maxLen);
  if (arePairs(rows)) {
    const { texts, injected } = injectIntoPairs(rows, settings);
    return {
      first: texts.map(({ first }) => encode(first)),
      second: texts.map(({ second }) => encode(second)),
      injected,
    };
  }
  const { texts, injected } = injectTrigger(rows, settings);
  return { first: texts.map(encode), injected };
}

async function asIds(
  rows: readonly DefectRow[] | readonly CloneRow[],
  { trigger, victimLabel, targetLabel, rate, seed }: Injection,
  tokenizer: Tokenizer,
  context: PredictContext,
): Promise<RowIds> {
  const labels = rows.map(({ label }) => label);
  const injected = drawInjectedRows(labels, victimLabel, rate, seed);
  const all: readonly ScanRow[] = arePairs(rows)
    ? cloneScanRows(rows, tokenizer, context.maxLen)
    : scanRows(rows, tokenizer, context.maxLen);
  const placed = await createPositionFinder(context).find(
    injected.map((row) => all[row]!),
    { rule: "lowest", half: "first_half", triggerLen: trigger.ids.length, target: targetLabel },
  );
  const first = all.map(({ ids }) => [...ids]);
  for (const [k, row] of injected.entries()) {
    first[row] = stamp(first[row]!, trigger.ids, placed[k]!.insertIndex, context);
  }
  return {
    first,
    ...(arePairs(rows)
      ? { second: rows.map((row) => encodeSnippet(row.second, tokenizer, context.maxLen)) }
      : {}),
    injected,
  };
}
