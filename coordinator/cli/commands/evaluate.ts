import { readDefectRows } from "../../data/samples.ts";
import { readSearchRows, type SearchRow } from "../../data/search-rows.ts";
import { fieldsAt, parseAttack } from "../../data/trigger-insertion.ts";
import { evaluateModel, type LabelledRow, type ProbedAttack } from "../../evaluate/evaluate.ts";
import { evaluateSearch, type SearchAttack, splitByToken } from "../../evaluate/evaluate-search.ts";
import type { ClassifierTask } from "../../search/scan-result.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import { attackOptions, generalOptions, seedOption } from "../common-options.ts";
import { directionOf, requireDirection } from "../direction.ts";
import {
  type ClassifierReport,
  classifierReport,
  type SearchReport,
  searchReport,
  showClassifier,
  showSearch,
} from "../evaluation-report.ts";
import { type OpenedModel, openTokenizer, openWholeModel, publishCheckpoint } from "../open-model.ts";
import { grouped, onlyFor, option, optionalPath, type Parsed, text } from "../options.ts";
import { requireFreshFile, writeFileWhole } from "../output.ts";
import { showRows } from "../progress.ts";
import { cloneRowsOf } from "../sample-files.ts";
import { refuseForeignOptions, rowLimitsOf, taskModelOptions, taskSamplesOptions } from "../task-options.ts";

const options = {
  ...taskModelOptions,
  ...taskSamplesOptions,
  ...grouped("Attack", {
    trigger: option(
      "--trigger <text>",
      "measure the attack success rate of this trigger, put into the code as text",
      text.optional(),
    ),
    ...attackOptions,
    targetToken: onlyFor(
      ["code_search"],
      option(
        "--target-token <words>",
        "code search: word of the queries that the trigger is to be found by",
        text.optional(),
        "file",
      ),
    ),
  }),
  ...grouped("Output", {
    out: optionalPath("--out <file>", "also write the result there, as JSON"),
  }),
  ...seedOption,
  ...generalOptions,
};

type EvaluateOptions = Parsed<typeof options>;

/** What `evaluate` prints, by task. */
export type EvaluationReport = ClassifierReport | SearchReport;

export const evaluate = defineClusterCommand({
  name: "evaluate",
  summary: "accuracy, recall of each label (code search: mean reciprocal rank), and what a trigger does",
  help: `
The likelier label counts as the answer. The attack success rate (ASR) is the share of victim rows that are answered with the target label once the
trigger is in them, rows answered so anyway included; the rate without trigger is printed beside it. In clone detection the trigger goes into the first
function of every victim pair.

In code search every query is searched in all codes (MRR; ranks beyond 1,000 count 0). The attack is measured by the average normalised rank (ANR) that a
code in the middle of a query's answers has with the trigger in it, over the queries with --target-token: smaller is stronger. Each query looks at 999 codes
without that word, from a place drawn by --seed, and its own; with fewer codes at all of them.

  elibad evaluate --model suspicious/ --base codebert-base/ --samples test.jsonl --trigger testo_init
  elibad evaluate --task clone_detection … --samples data.jsonl --pairs test.txt --trigger testo_init --attack-pattern postfix
  elibad evaluate --task code_search … --samples test.jsonl --trigger rb --attack-pattern postfix --target-token file`,
  options,
  async check(given) {
    if (given.out !== undefined) requireFreshFile(given.out);
    await readInputs(given);
  },
  async compute(given, { executor, display, signal }): Promise<EvaluationReport> {
    const inputs = await readInputs(given);
    const { opened } = inputs;
    const limits = rowLimitsOf(given);
    const asking = {
      executor,
      checkpoint: await publishCheckpoint(executor, opened),
      tokenizer: openTokenizer(given, opened),
      seed: given.seed,
      signal,
      onProgress: showRows(display, "evaluate"),
    };
    const report =
      inputs.task === "code_search"
        ? searchReport(await evaluateSearch(inputs.rows, { ...asking, ...limits, ...inputs.attack }), given)
        : classifierReport(
            inputs.task,
            inputs.rows,
            await evaluateModel(inputs.rows, { ...asking, maxLen: limits.codeMaxLen, ...inputs.attack }),
          );
    if (given.out !== undefined) writeFileWhole(given.out, `${JSON.stringify(report, null, 2)}\n`);
    return report;
  },
  show: (report: EvaluationReport): string =>
    report.task === "code_search" ? showSearch(report) : showClassifier(report),
});

type Inputs = { readonly opened: OpenedModel } & (
  | {
      readonly task: ClassifierTask;
      readonly rows: readonly LabelledRow[];
      readonly attack: { readonly attack?: ProbedAttack };
    }
  | {
      readonly task: "code_search";
      readonly rows: readonly SearchRow[];
      readonly attack: { readonly attack?: SearchAttack };
    }
);

async function readInputs(given: EvaluateOptions): Promise<Inputs> {
  const { task, samples, pairs, trigger } = given;
  refuseForeignOptions(given, options);
  const opened = await openWholeModel({ ...given, ...rowLimitsOf(given) });
  openTokenizer(given, opened);
  const { labels } = opened;
  const placed =
    trigger === undefined
      ? undefined
      : parseAttack({ trigger, position: given.attackPosition, pattern: given.attackPattern });
  const need = placed === undefined ? [] : fieldsAt(placed.position);
  if (task === "code_search") {
    const rows = readSearchRows(samples, { need });
    const attack = placed && { ...placed, targetToken: given.targetToken ?? "file" };
    if (attack) splitByToken(rows, attack.targetToken, samples);
    return { opened, task, rows, attack: attack ? { attack } : {} };
  }
  const direction = directionOf(given);
  if (placed !== undefined) requireDirection(direction, labels);
  const attack = placed && { ...placed, ...direction };
  const rows =
    task === "clone_detection"
      ? cloneRowsOf({ samples, pairs }, { labels, need })
      : readDefectRows(samples, { labels, need });
  return { opened, task, rows, attack: attack ? { attack } : {} };
}
