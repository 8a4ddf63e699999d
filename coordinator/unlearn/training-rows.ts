import type { Executor } from "../../proto/operations.ts";
import { stamp } from "../../proto/stamping.ts";
import { drawInjectedRows, injectTrigger } from "../data/injection.ts";
import { codeText, type DefectRow } from "../data/samples.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { AttackPattern, AttackPosition } from "../data/trigger-insertion.ts";
import { createPositionFinder } from "../search/positions.ts";
import type { PredictContext } from "../search/predict.ts";
import { scanRows } from "../search/scan-rows.ts";
import { putSamples } from "../training/sample-artifact.ts";
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

/** Clean rows, some of them with the trigger and their own label: what the published plan trains on. */
export async function injectedRows(
  rows: readonly DefectRow[],
  injection: Injection,
  tokenizer: Tokenizer,
  context: PredictContext & { readonly executor: Executor },
): Promise<InjectedRows> {
  const { ids, injected } =
    injection.inject === "text"
      ? injectedAsText(rows, injection, tokenizer, context.maxLen)
      : await injectedAsIds(rows, injection, tokenizer, context);
  const samples = await putSamples(context.executor, {
    rows: ids,
    maxLen: context.maxLen,
    endId: context.endId,
  });
  return { samples, labels: rows.map(({ label }) => label), injected };
}

function injectedAsText(
  rows: readonly DefectRow[],
  injection: Injection,
  tokenizer: Tokenizer,
  maxLen: number,
) {
  const { texts, injected } = injectTrigger(rows, {
    trigger: injection.trigger.text,
    position: injection.attackPosition,
    pattern: injection.attackPattern,
    victimLabel: injection.victimLabel,
    rate: injection.rate,
    seed: injection.seed,
  });
  return { ids: texts.map((text) => tokenizer.encodeRow(text, maxLen)), injected };
}

async function injectedAsIds(
  rows: readonly DefectRow[],
  { trigger, victimLabel, targetLabel, rate, seed }: Injection,
  tokenizer: Tokenizer,
  context: PredictContext,
) {
  const labels = rows.map(({ label }) => label);
  const injected = drawInjectedRows(labels, victimLabel, rate, seed);
  const placed = await createPositionFinder(context).find(
    scanRows(
      injected.map((row) => rows[row]!),
      tokenizer,
      context.maxLen,
    ),
    { rule: "lowest", half: "first_half", triggerLen: trigger.ids.length, target: targetLabel },
  );
  const ids = rows.map(({ codeTokens }) => tokenizer.encodeRow(codeText(codeTokens), context.maxLen));
  for (const [k, row] of injected.entries()) {
    ids[row] = stamp(ids[row]!, trigger.ids, placed[k]!.insertIndex, context);
  }
  return { ids, injected };
}
