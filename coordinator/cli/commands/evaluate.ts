import { readDefectRows } from "../../data/samples.ts";
import { fieldsAt, parseAttack } from "../../data/trigger-insertion.ts";
import { evaluateModel, type ProbedAttack } from "../../evaluate/evaluate.ts";
import { formatRate, type Rate } from "../../evaluate/rate.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import { attackOptions, generalOptions, modelOptions, samplesOption, seedOption } from "../common-options.ts";
import { requireDirection } from "../direction.ts";
import { openTokenizer, openWholeModel, publishCheckpoint } from "../open-model.ts";
import { grouped, option, optionalPath, type Parsed, text } from "../options.ts";
import { requireFreshFile, writeFileWhole } from "../output.ts";

const options = {
  ...modelOptions,
  ...samplesOption,
  ...grouped("Attack", {
    trigger: option(
      "--trigger <text>",
      "measure the attack success rate of this trigger, put into the code as text",
      text.optional(),
    ),
    ...attackOptions,
  }),
  ...grouped("Output", {
    out: optionalPath("--out <file>", "also write the result there, as JSON"),
  }),
  ...seedOption,
  ...generalOptions,
};

type EvaluateOptions = Parsed<typeof options>;

/** Counts with 95 % Wilson intervals. */
export interface EvaluationReport {
  readonly rows: number;
  readonly acc: Rate;
  /** By label. */
  readonly recall: readonly Rate[];
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

export const evaluate = defineClusterCommand({
  name: "evaluate",
  summary: "accuracy, recall of each label, and the attack success rate of a trigger",
  help: `
A row counts as label 1 above probability 0.5. The attack success rate (ASR) is the share of victim rows that are answered with the target label once the
trigger is in them, rows answered so anyway included; the rate without trigger is printed beside it.

  elibad evaluate --model suspicious/ --base codebert-base/ --samples test.jsonl --trigger testo_init`,
  options,
  async check(given) {
    if (given.out !== undefined) requireFreshFile(given.out);
    await readInputs(given);
  },
  async compute(given, { executor, signal }): Promise<EvaluationReport> {
    const { opened, rows, attack } = await readInputs(given);
    const evaluation = await evaluateModel(rows, {
      executor,
      checkpoint: await publishCheckpoint(executor, opened),
      tokenizer: openTokenizer(given, opened),
      maxLen: given.codeMaxLen,
      seed: given.seed,
      signal,
      ...(attack ? { attack } : {}),
    });
    const probed = evaluation.attack;
    const report: EvaluationReport = {
      rows: rows.length,
      acc: evaluation.acc,
      recall: evaluation.recall,
      attack: probed
        ? {
            trigger: probed.trigger,
            attack_position: probed.position,
            attack_pattern: probed.pattern,
            victim_label: probed.victimLabel,
            target_label: probed.targetLabel,
            asr: probed.asr,
            without_trigger: probed.withoutTrigger,
            unplaced: probed.unplaced,
          }
        : null,
    };
    if (given.out !== undefined) writeFileWhole(given.out, `${JSON.stringify(report, null, 2)}\n`);
    return report;
  },
  show: (report: EvaluationReport): string => showEvaluation(report),
});

/** A report as a person reads it. */
export function showEvaluation({ acc, recall, attack }: EvaluationReport): string {
  return [
    `ACC             ${formatRate(acc)}`,
    ...recall.map((rate, label) => `recall of ${label}     ${formatRate(rate)}`),
    ...(attack
      ? [
          `ASR ${attack.victim_label}→${attack.target_label}         ${formatRate(attack.asr)}  '${attack.trigger}', ${attack.attack_position} ${attack.attack_pattern}`,
          `without trigger ${formatRate(attack.without_trigger)}`,
        ]
      : []),
  ].join("\n");
}

async function readInputs(given: EvaluateOptions) {
  const opened = await openWholeModel(given);
  openTokenizer(given, opened);
  let attack: ProbedAttack | undefined;
  if (given.trigger !== undefined) {
    const { trigger, attackPosition: position, attackPattern: pattern, victimLabel, targetLabel } = given;
    requireDirection(given, opened.labels);
    attack = { ...parseAttack({ trigger, position, pattern }), victimLabel, targetLabel };
  }
  const rows = readDefectRows(given.samples, {
    labels: opened.labels,
    need: attack === undefined ? [] : fieldsAt(attack.position),
  });
  return { opened, rows, attack };
}
