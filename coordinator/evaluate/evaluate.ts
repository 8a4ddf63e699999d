import type { CloneRow } from "../data/clone-rows.ts";
import { triggerText } from "../data/dead-code.ts";
import { SamplesError } from "../data/errors.ts";
import { languageOf } from "../data/planting.ts";
import { PythonRandom } from "../data/python-random.ts";
import { codeText, type DefectRow, type Snippet } from "../data/samples.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { type Attack, insertTrigger } from "../data/trigger-insertion.ts";
import { labelCount } from "../search/loss.ts";
import { type PredictContext, predictLogits } from "../search/predict.ts";
import type { Rate } from "../search/rate.ts";
import { type CleanMetrics, cleanMetrics, targetRate } from "./metrics.ts";
import { type EvaluationListener, telling } from "./progress.ts";

/** A row with a label. Of two snippets the first one gets the trigger. */
export type LabelledRow = DefectRow | CloneRow;

const isPair = (row: LabelledRow): row is CloneRow => "first" in row;
const attackedSnippet = (row: LabelledRow): Snippet => (isPair(row) ? row.first : row);

/** An attack and the direction in which it is to work. */
export interface ProbedAttack extends Attack {
  /** Label of the rows that get the trigger. */
  readonly victimLabel: number;
  /** Label that the trigger is to bring about. */
  readonly targetLabel: number;
}

export interface EvaluationSettings extends Omit<PredictContext, "endId" | "onAnswered"> {
  readonly tokenizer: Tokenizer;
  /** Trigger to measure the attack success rate with; none: clean metrics only. */
  readonly attack?: ProbedAttack;
  /** Seed of Python's generator for the position `random`; 0 where it is not given. */
  readonly seed?: number;
  readonly onProgress?: EvaluationListener | undefined;
}

export interface AttackMetrics extends ProbedAttack {
  /** Attack success rate: victim rows with the trigger in them that are answered with the target, those answered so anyway included. */
  readonly asr: Rate;
  /** Victim rows answered with the target without the trigger. */
  readonly withoutTrigger: Rate;
  /** Victim rows that the trigger has no place in; they count in `asr` as they are, as in the published evaluator. */
  readonly unplaced: number;
}

export interface Evaluation extends CleanMetrics {
  /** Logits of each row, in file order. */
  readonly logits: readonly Float32Array[];
  readonly attack?: AttackMetrics;
  /** Logits of each victim row with the trigger, in file order; absent without an attack. */
  readonly attackedLogits?: readonly Float32Array[];
}

/**
 * Evaluates a classifier on rows with labels, as the published evaluator does: one answer a row (the likelier label), and the same
 * again for the victim rows with the trigger put in as text. Of clone pairs all victims are asked, where the published evaluator draws 1 %.
 *
 * @throws SamplesError where a label is none of the model's, or no row has the victim label
 */
export async function evaluateModel(
  rows: readonly LabelledRow[],
  { tokenizer, attack, seed = 0, onProgress, ...predicting }: EvaluationSettings,
): Promise<Evaluation> {
  const context: PredictContext = { ...predicting, endId: tokenizer.ids.restored };
  const encode = (text: string): number[] => tokenizer.encodeRow(text, context.maxLen);
  const ask = (
    phase: string,
    asked: readonly LabelledRow[],
    texts: readonly string[],
  ): Promise<Float32Array[]> =>
    predictLogits(
      texts.map(encode),
      { ...context, onAnswered: telling(phase, onProgress) },
      secondRows(asked, encode),
    );
  const victims = [...rows.keys()].filter((row) => rows[row]!.label === attack?.victimLabel);
  if (attack !== undefined && victims.length === 0) {
    throw new SamplesError("no row has this label", { field: "victim_label", value: attack.victimLabel });
  }
  const logits = await ask(
    "rows",
    rows,
    rows.map((row) => codeText(attackedSnippet(row).codeTokens)),
  );
  checkLabels(rows, labelCount(logits[0]?.length ?? 1), attack);
  const clean = cleanMetrics(
    logits,
    rows.map(({ label }) => label),
  );
  if (attack === undefined) return { ...clean, logits };

  const random = new PythonRandom(seed);
  const attacked = victims.map((row) => {
    const language = isPair(rows[row]!) ? languageOf.clone_detection : languageOf.defect_detection;
    const trigger = triggerText(attack.trigger, { language }, random);
    return insertTrigger(attackedSnippet(rows[row]!), { ...attack, trigger }, random);
  });
  const attackedLogits = await ask(
    "victims with the trigger",
    victims.map((row) => rows[row]!),
    attacked.map(({ text }) => text),
  );
  return {
    ...clean,
    logits,
    attack: {
      ...attack,
      asr: targetRate(attackedLogits, attack.targetLabel),
      withoutTrigger: targetRate(
        victims.map((row) => logits[row]!),
        attack.targetLabel,
      ),
      unplaced: attacked.filter(({ placed }) => !placed).length,
    },
    attackedLogits,
  };
}

/** Second snippets of clone pairs; undefined for rows of one snippet. */
const secondRows = (
  rows: readonly LabelledRow[],
  encode: (text: string) => number[],
): number[][] | undefined =>
  rows.every(isPair) ? rows.map(({ second }) => encode(codeText(second.codeTokens))) : undefined;

/** The number of labels is known only from the model's first answer. */
function checkLabels(rows: readonly LabelledRow[], classes: number, attack: ProbedAttack | undefined): void {
  const given = [
    ...rows.map(({ label }) => ["label", label] as const),
    ...(attack === undefined ? [] : [["target_label", attack.targetLabel] as const]),
  ];
  const wrong = given.find(([, label]) => !Number.isInteger(label) || label < 0 || label >= classes);
  if (wrong === undefined) return;
  const [field, value] = wrong;
  throw new SamplesError(`the model has the labels 0 to ${classes - 1}`, { field, value });
}
