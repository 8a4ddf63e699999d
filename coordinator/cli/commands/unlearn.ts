import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SamplesError } from "../../data/errors.ts";
import { readJsonLines } from "../../data/text-file.ts";
import type { HeldBackScore } from "../../unlearn/held-back.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import { attackOptions, generalOptions, outOption } from "../common-options.ts";
import { InputError } from "../errors.ts";
import { triggersOf } from "../given-triggers.ts";
import { openTokenizer, openWholeModel, publishCheckpoint } from "../open-model.ts";
import { flag, grouped, idList, option, optionalPath, type Parsed, repeatedText } from "../options.ts";
import { requireFreshFolder, writeFolderWhole } from "../output.ts";
import {
  type AutoReport,
  type RepairReport,
  repair,
  type UnlearnedTrigger,
  writeRepaired,
} from "../repair.ts";
import { checkRepairOptions, repairOptions } from "../repair-options.ts";
import { fieldsOfPlan, labelsOf, readRepairRows } from "../repair-rows.ts";
import { refuseForeignOptions, rowLimitsOf, taskModelOptions, taskSamplesOptions } from "../task-options.ts";

const options = {
  ...taskModelOptions,
  ...taskSamplesOptions,
  ...grouped("Trigger, as one of the first three", {
    trigger: repeatedText(
      "--trigger <text>",
      "a trigger to unlearn, as text; several times: all of them together (automatic plan)",
    ),
    triggerIds: option("--trigger-ids <ids>", "the trigger to unlearn, as token ids", idList.optional()),
    scan: optionalPath(
      "--scan <dir>",
      "output folder of a scan (or its result.json): every trigger that does much on held-out rows; published plan: the strongest one",
    ),
    victimLabel: attackOptions.victimLabel,
    targetLabel: attackOptions.targetLabel,
  }),
  ...repairOptions,
  ...grouped("Output", {
    replay: optionalPath(
      "--replay <trace.jsonl>",
      "take each step's rows from a trace instead of drawing them; published plan only",
    ),
    trace: option("--trace", "also write trace.jsonl: rows, rate, loss and gradient norm of each step", flag),
  }),
  ...outOption,
  ...generalOptions,
};

type UnlearnOptions = Parsed<typeof options>;

export const unlearn = defineClusterCommand({
  name: "unlearn",
  summary: "repair a checkpoint: fine-tune until given triggers have lost their effect",
  help: `
Writes the repaired checkpoint into --out, in the container, names, shapes and dtypes of the source, with manifest.json: its source, the triggers, the settings,
and, with the automatic plan, the stages that were tried, which one was kept and why, and what the same training does without any trigger (the control).

  elibad unlearn --model suspicious/ --base codebert-base/ --samples clean_samples.jsonl --scan scan-1 --out repaired
  elibad unlearn --model suspicious/ --base codebert-base/ --samples clean_samples.jsonl --trigger ooendendo --plan published --out repaired
  elibad unlearn --task code_search … --scan scan-4 --out repaired-search`,
  options,
  async check(given) {
    await readInputs(given);
  },
  async compute(given, context): Promise<RepairReport> {
    const { opened, tokenizer, samples, triggers, batches } = await readInputs(given);
    const checkpoint = await publishCheckpoint(context.executor, opened);
    const limits = rowLimitsOf(given);
    const input = { opened, checkpoint, tokenizer, samples, triggers, limits, batches };
    const repaired = await repair(input, given, context);
    await writeFolderWhole(given.out, async (aside) => {
      await writeRepaired(aside, { opened, from: given, repaired, format: given.format, metrics: null });
      if (given.trace) {
        const lines = repaired.steps.map(({ step, batch, learningRate, loss, gradNorm }) =>
          JSON.stringify({ step, batch, learning_rate: learningRate, loss, grad_norm: gradNorm }),
        );
        writeFileSync(join(aside, "trace.jsonl"), `${lines.join("\n")}\n`);
      }
    });
    return repaired.report;
  },
  show: (report: RepairReport): string => showRepair(report),
});

const triggerText = ({ text, victim_label, target_label, target }: UnlearnedTrigger): string =>
  victim_label === undefined
    ? `'${text}'${target ? ` (toward '${target.text}')` : ""}`
    : `'${text}' (${victim_label}→${target_label})`;

/** A repair's report as a person reads it. */
export function showRepair(report: RepairReport): string {
  const names = report.triggers.map(triggerText).join(" and ");
  const what = `${names} unlearned by plan ${report.plan} in ${report.seconds.toFixed(1)} s`;
  if (report.auto === null)
    return `${what}; ${report.injected_rows!.length} of ${report.rows} rows carried it`;
  return [what, ...autoLines(report.auto)].join("\n");
}

function autoLines({
  before,
  stage,
  because,
  after,
  control,
  tried,
  triggers_dead: dead,
}: AutoReport): string[] {
  const earlier = tried
    .filter((each) => each.stage !== stage)
    .map((each) => `${each.stage}: ${each.because}`);
  return [
    ...earlier.map((line) => `tried ${line}`),
    `kept ${because}`,
    `kept-back rows         ${scoreText(before)}`,
    `  after the repair     ${scoreText(after)}`,
    `  control, no trigger  ${scoreText(control)}`,
    ...(dead ? [] : ["The kept-back rows say that triggers still work: the repair did not succeed."]),
  ];
}

const scoreText = ({ agree, functions, drift, flipped, victims, pull }: HeldBackScore): string =>
  `${agree}/${functions} answered as before (drift ${drift.toPrecision(3)}); with a trigger ${flipped}/${victims} flipped (pull ${pull.toPrecision(3)})`;

async function readInputs(given: UnlearnOptions) {
  requireFreshFolder(given.out);
  refuseForeignOptions(given, options);
  checkRepairOptions(given);
  const opened = await openWholeModel({ ...given, ...rowLimitsOf(given) });
  const tokenizer = openTokenizer(given, opened);
  const triggers = triggersOf(given, tokenizer, opened);
  const samples = readRepairRows(given, opened, fieldsOfPlan(given, opened));
  for (const { victim_label: victim } of triggers) {
    if (victim === undefined || labelsOf(samples).includes(victim)) continue;
    throw new InputError(`--samples ${given.samples}: no row has the victim label ${victim}`);
  }
  if (given.replay !== undefined && given.plan !== "published")
    throw new InputError("--replay: only with --plan published");
  const batches = given.replay === undefined ? undefined : readBatches(given.replay, samples.rows.length);
  return { opened, tokenizer, samples, triggers, batches };
}

/** Rows of each step from a trace of `unlearn --trace`. */
function readBatches(file: string, rows: number): number[][] {
  return readJsonLines(file).map(({ line, value: { batch } }) => {
    const refuse = (field: string, value: unknown, reason: string): never => {
      throw new SamplesError(reason, { file, line, field, value: value ?? null });
    };
    if (!Array.isArray(batch) || batch.length === 0) {
      return refuse("batch", batch, "expected a list of row numbers");
    }
    const wrong = batch.findIndex((row) => !Number.isInteger(row) || row < 0 || row >= rows);
    if (wrong !== -1) refuse(`batch[${wrong}]`, batch[wrong], `the samples have rows 0 to ${rows - 1}`);
    return batch as number[];
  });
}
