import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { verifyWeights } from "../../../worker/checkpoint/verify-weights.ts";
import { readDefectRows } from "../../data/samples.ts";
import { readJsonLines } from "../../data/text-file.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import { attackOptions, generalOptions, modelOptions, outOption, samplesOption } from "../common-options.ts";
import { InputError } from "../errors.ts";
import { strongestFirst } from "../found-triggers.ts";
import { type OpenedModel, openModel, openTokenizer, publishCheckpoint } from "../open-model.ts";
import { flag, idList, option, optionalPath, type Parsed, text } from "../options.ts";
import { requireFreshFolder, writeFolderWhole } from "../output.ts";
import { type RepairReport, repair, type UnlearnedTrigger, writeRepaired } from "../repair.ts";
import { repairOptions } from "../repair-options.ts";

const options = {
  ...modelOptions,
  ...samplesOption,
  trigger: option("--trigger <text>", "the trigger to unlearn, as text", text.optional()),
  triggerIds: option("--trigger-ids <ids>", "the trigger to unlearn, as token ids", idList.optional()),
  scan: optionalPath(
    "--scan <dir>",
    "output folder of a scan (or its result.json): the trigger and direction that flip most held-out rows",
  ),
  victimLabel: attackOptions.victimLabel,
  targetLabel: attackOptions.targetLabel,
  ...repairOptions,
  replay: optionalPath(
    "--replay <trace.jsonl>",
    "take each step's rows from a trace instead of drawing them; published plan only",
  ),
  trace: option("--trace", "also write trace.jsonl: rows, rate, loss and gradient norm of each step", flag),
  ...outOption,
  ...generalOptions,
};

type UnlearnOptions = Parsed<typeof options>;

export const unlearn = defineClusterCommand({
  name: "unlearn",
  summary: "repair a checkpoint: fine-tune until a given trigger has lost its effect",
  help: `
Writes the repaired checkpoint into --out, in the container, names, shapes and dtypes of the source, with manifest.json: its source, the trigger, the settings.

  elibad unlearn --model suspicious/ --base codebert-base/ --samples clean_samples.jsonl --scan scan-1 --out repaired
  elibad unlearn --model suspicious/ --base codebert-base/ --samples clean_samples.jsonl --trigger ooendendo --plan published --out repaired`,
  options,
  async check(given) {
    await readInputs(given);
  },
  async compute(given, context): Promise<RepairReport> {
    const { opened, tokenizer, rows, trigger, batches } = await readInputs(given);
    const checkpoint = await publishCheckpoint(context.executor, opened);
    const input = {
      opened,
      checkpoint,
      tokenizer,
      rows,
      triggers: [trigger],
      codeMaxLen: given.codeMaxLen,
      batches,
    };
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

/** A repair's report as a person reads it. */
export function showRepair(report: RepairReport): string {
  const names = report.triggers.map(
    ({ text, victim_label, target_label }) => `'${text}' (${victim_label}→${target_label})`,
  );
  const what = `${names.join(" and ")} unlearned by plan ${report.plan} in ${report.seconds.toFixed(1)} s`;
  if (report.points === null)
    return `${what}; ${report.injected_rows!.length} of ${report.rows} rows carried it`;
  const [before, after] = [report.points[0]!, report.points[report.kept_epoch!]!];
  return [
    `${what}; kept epoch ${report.kept_epoch} of ${report.points.length - 1}`,
    `kept-back rows: ${before.triggered}/${before.victims} victims flipped before, ${after.triggered}/${after.victims} after; ${before.right}/${before.rows} right before, ${after.right}/${after.rows} after`,
    ...(report.trigger_dead
      ? []
      : ["The kept-back rows say that a trigger still works: the repair did not succeed."]),
  ].join("\n");
}

async function readInputs(given: UnlearnOptions) {
  requireFreshFolder(given.out);
  const opened = await openModel(given);
  const tokenizer = openTokenizer(given, opened);
  const trigger = triggerOf(given, tokenizer, opened);
  const rows = readDefectRows(given.samples, {
    labels: opened.labels,
    need:
      given.plan === "auto" || given.inject === "ids"
        ? ["variables"]
        : given.attackPosition === "func_name"
          ? ["func_name"]
          : [],
  });
  if (!rows.some(({ label }) => label === trigger.victim_label)) {
    throw new InputError(`--samples ${given.samples}: no row has the victim label ${trigger.victim_label}`);
  }
  if (given.replay !== undefined && given.plan !== "published")
    throw new InputError("--replay: only with --plan published");
  const batches = given.replay === undefined ? undefined : readBatches(given.replay, rows.length);
  await verifyWeights(opened.checkpoint);
  return { opened, tokenizer, rows, trigger, batches };
}

function triggerOf(
  given: UnlearnOptions,
  tokenizer: Tokenizer,
  { labels, config }: OpenedModel,
): UnlearnedTrigger {
  const sources = [given.trigger, given.triggerIds, given.scan].filter((each) => each !== undefined);
  if (sources.length !== 1)
    throw new InputError("--trigger, --trigger-ids or --scan: give exactly one of the three");
  const trigger = given.scan === undefined ? givenTrigger(given, tokenizer) : scannedTrigger(given.scan);
  for (const [name, label] of [
    ["victim", trigger.victim_label],
    ["target", trigger.target_label],
  ] as const) {
    if (label >= labels)
      throw new InputError(`--${name}-label ${label}: the model knows labels 0 to ${labels - 1}`);
  }
  const unknown = trigger.ids.find((id) => id >= config.vocabSize);
  if (unknown !== undefined) {
    throw new InputError(`trigger id ${unknown}: the model's vocabulary has ${config.vocabSize} entries`);
  }
  return trigger;
}

function givenTrigger(given: UnlearnOptions, tokenizer: Tokenizer): UnlearnedTrigger {
  const ids = given.triggerIds ?? tokenizer.encode(given.trigger!);
  return {
    ids,
    text: given.trigger ?? tokenizer.decode(ids),
    victim_label: given.victimLabel,
    target_label: given.targetLabel,
  };
}

function scannedTrigger(path: string): UnlearnedTrigger {
  const file = existsSync(path) && statSync(path).isDirectory() ? join(path, "result.json") : path;
  if (!existsSync(file)) throw new InputError(`--scan ${path}: no result.json there`);
  const Found = z.object({
    victim_label: z.int().min(0),
    target_label: z.int().min(0),
    trigger: z.object({ ids: z.array(z.int().min(0)).min(1), text: z.string() }).nullable(),
    loss: z.number().nullable(),
    asr: z.object({ held_out: z.object({ hits: z.int(), n: z.int() }) }).nullable(),
    without_trigger: z.object({ held_out: z.object({ hits: z.int(), n: z.int() }) }),
  });
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch {
    throw new InputError(`--scan ${file}: is not JSON`);
  }
  const parsed = z.object({ searches: z.array(Found) }).safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new InputError(`--scan ${file}: ${issue.path.join(".")}: ${issue.message}`);
  }
  const strongest = strongestFirst(parsed.data.searches)[0];
  if (strongest === undefined) throw new InputError(`--scan ${file}: no search found a trigger`);
  const { trigger, victim_label, target_label } = strongest;
  return { ...trigger!, victim_label, target_label };
}

function readBatches(file: string, rows: number): number[][] {
  const Line = z.object({
    batch: z
      .array(
        z
          .int()
          .min(0)
          .max(rows - 1),
      )
      .min(1),
  });
  return readJsonLines(file).map(({ line, value }) => {
    const parsed = Line.safeParse(value);
    if (parsed.success) return parsed.data.batch;
    const issue = parsed.error.issues[0]!;
    throw new InputError(`--replay ${file}:${line}: ${issue.path.join(".") || "batch"}: ${issue.message}`);
  });
}
