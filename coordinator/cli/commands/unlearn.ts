import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { SamplesError } from "../../data/errors.ts";
import { readDefectRows } from "../../data/samples.ts";
import { readJsonLines } from "../../data/text-file.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { fieldsAt } from "../../data/trigger-insertion.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import { attackOptions, generalOptions, modelOptions, outOption, samplesOption } from "../common-options.ts";
import { requireDirection } from "../direction.ts";
import { InputError } from "../errors.ts";
import { strongestFirst } from "../found-triggers.ts";
import { type OpenedModel, openTokenizer, openWholeModel, publishCheckpoint } from "../open-model.ts";
import { flag, grouped, idList, option, optionalPath, type Parsed, text } from "../options.ts";
import { requireFreshFolder, writeFolderWhole } from "../output.ts";
import { type RepairReport, repair, type UnlearnedTrigger, writeRepaired } from "../repair.ts";
import { checkRepairOptions, repairOptions } from "../repair-options.ts";

const options = {
  ...modelOptions,
  ...samplesOption,
  ...grouped("Trigger, as one of the first three", {
    trigger: option("--trigger <text>", "the trigger to unlearn, as text", text.optional()),
    triggerIds: option("--trigger-ids <ids>", "the trigger to unlearn, as token ids", idList.optional()),
    scan: optionalPath(
      "--scan <dir>",
      "output folder of a scan (or its result.json): the trigger and direction that flip most held-out rows",
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
  const before = report.points[0]!;
  const after = report.points.find(({ step }) => step === report.kept_step)!;
  return [
    `${what}; kept step ${report.kept_step} of ${report.points.at(-1)!.step}`,
    `kept-back functions: ${after.agree}/${after.functions} answered as before; with a trigger, ${before.flipped}/${before.victims} flipped before, ${after.flipped}/${after.victims} after`,
    ...(report.triggers_dead
      ? []
      : ["The kept-back functions say that triggers still work: the repair did not succeed."]),
  ].join("\n");
}

async function readInputs(given: UnlearnOptions) {
  requireFreshFolder(given.out);
  checkRepairOptions(given);
  const opened = await openWholeModel(given);
  const tokenizer = openTokenizer(given, opened);
  const trigger = triggerOf(given, tokenizer, opened);
  const rows = readDefectRows(given.samples, {
    labels: opened.labels,
    need: given.plan === "auto" || given.inject === "ids" ? ["variables"] : fieldsAt(given.attackPosition),
  });
  if (!rows.some(({ label }) => label === trigger.victim_label)) {
    throw new InputError(`--samples ${given.samples}: no row has the victim label ${trigger.victim_label}`);
  }
  if (given.replay !== undefined && given.plan !== "published")
    throw new InputError("--replay: only with --plan published");
  const batches = given.replay === undefined ? undefined : readBatches(given.replay, rows.length);
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
  requireDirection({ victimLabel: trigger.victim_label, targetLabel: trigger.target_label }, labels);
  const unknown = trigger.ids.find((id) => id >= config.vocabSize);
  if (unknown !== undefined) {
    const source =
      given.scan === undefined ? `--trigger-ids ${trigger.ids.join(",")}` : `--scan ${given.scan}`;
    throw new InputError(`${source}: id ${unknown} is not in the model's vocabulary of ${config.vocabSize}`);
  }
  return trigger;
}

function givenTrigger(given: UnlearnOptions, tokenizer: Tokenizer): UnlearnedTrigger {
  if (given.trigger?.trim() === "")
    throw new InputError(`--trigger ${JSON.stringify(given.trigger)}: is empty`);
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
    const field = parsed.error.issues[0]!.path.join(".");
    throw new InputError(`--scan ${file}: ${field}: is missing, or not as a scan writes it`);
  }
  const strongest = strongestFirst(parsed.data.searches)[0];
  if (strongest === undefined) throw new InputError(`--scan ${file}: no search found a trigger`);
  const { trigger, victim_label, target_label } = strongest;
  return { ...trigger!, victim_label, target_label };
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
