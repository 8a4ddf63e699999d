import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeTensors } from "../../../proto/tensors.ts";
import { type DefectRow, readDefectRows } from "../../data/samples.ts";
import { fieldsAt } from "../../data/trigger-insertion.ts";
import { evaluateModel } from "../../evaluate/evaluate.ts";
import { formatRate, type Rate } from "../../evaluate/rate.ts";
import { evaluateSpliced } from "../../evaluate/spliced.ts";
import type { ClassifierScanResult, SearchResult } from "../../search/scan-result.ts";
import { scanRows } from "../../search/scan-rows.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import type { ClusterContext } from "../command.ts";
import { generalOptions, modelOptions, outOption, samplesOption, seedOption } from "../common-options.ts";
import { worthUnlearning } from "../found-triggers.ts";
import { openTokenizer, publishCheckpoint, verifyModel } from "../open-model.ts";
import type { OptionSpecs, Parsed } from "../options.ts";
import { requireFreshFolder, writeFolderWhole } from "../output.ts";
import { type Repaired, type RepairReport, repair, writeRepaired } from "../repair.ts";
import { checkRepairOptions, repairOptions } from "../repair-options.ts";
import { type PreparedScan, prepareScan } from "../scan-input.ts";
import { searchOptions } from "../scan-options.ts";
import { scanTable } from "../show-scan.ts";
import { trainableWeights } from "../trainable-weights.ts";
import { scanInto } from "./scan.ts";
import { showRepair } from "./unlearn.ts";

const options = {
  ...modelOptions,
  ...samplesOption,
  ...searchOptions,
  ...repairOptions,
  ...outOption,
  ...seedOption,
  ...generalOptions,
} satisfies OptionSpecs;

type CleanOptions = Parsed<typeof options>;

/** One model on the rows of `measured_on`, with each unlearned trigger at each row's own index. */
interface Measured {
  readonly acc: Rate;
  readonly recall: readonly Rate[];
  readonly triggers: readonly {
    readonly text: string;
    readonly victim_label: number;
    readonly target_label: number;
    readonly asr: Rate;
    readonly without_trigger: Rate;
  }[];
}

interface CleanReport {
  readonly scan: ClassifierScanResult;
  /** Which rows `before` and `after` are of. Samples that the search did not use are no unseen rows: the repair trains on most of them. */
  readonly measured_on: string;
  /** Null where no search found a trigger: nothing was repaired. */
  readonly repair: RepairReport | null;
  readonly before: Measured | null;
  readonly after: Measured | null;
}

export const clean = defineClusterCommand({
  name: "clean",
  summary: "scan, unlearn, evaluate: everything for one suspicious model",
  help: `
Unlearns the trigger that flips most held-out rows, and every other that flips far more of them than none does. Writes into --out: result.json (the scan),
repaired/ (the checkpoint, which loads where the original loaded, with manifest.json) and repair.json (what was done, and the model before and after). Name rows
that measure it with --held-out; without, it is measured on the samples that the search did not use, of which the repair has seen most.

  elibad clean --model suspicious/ --base codebert-base/ --samples clean_samples.jsonl --held-out test.jsonl --out cleaned`,
  options,
  async check(given) {
    requireFreshFolder(given.out);
    checkRepairOptions(given);
    const { opened } = await prepareScan(given);
    readDefectRows(given.samples, { labels: opened.labels, need: neededFields(given) });
  },
  async compute(given, context): Promise<CleanReport> {
    requireFreshFolder(given.out);
    let report: CleanReport | undefined;
    await writeFolderWhole(given.out, async (aside) => {
      report = await cleanInto(given, context, aside);
    });
    return report!;
  },
  show(report: CleanReport): string {
    const { scan, repair: repaired, before, after } = report;
    if (repaired === null)
      return `${scanTable(scan)}\nNo trigger flips more held-out rows than none does: nothing was repaired.`;
    const line = (name: string, value: (measured: Measured) => Rate): string =>
      `${name.padEnd(18)} ${formatRate(value(before!))} → ${formatRate(value(after!))}`;
    return [
      scanTable(scan),
      showRepair(repaired),
      `${report.measured_on}, before → after:`,
      line("ACC", ({ acc }) => acc),
      ...before!.recall.map((_, label) => line(`recall of ${label}`, ({ recall }) => recall[label]!)),
      ...before!.triggers.flatMap(({ text, victim_label, target_label }, k) => [
        line(`'${text}' ${victim_label}→${target_label}`, ({ triggers }) => triggers[k]!.asr),
        line("  without trigger", ({ triggers }) => triggers[k]!.without_trigger),
      ]),
    ].join("\n");
  },
});

async function cleanInto(given: CleanOptions, context: ClusterContext, folder: string): Promise<CleanReport> {
  const prepared = await prepareScan(given);
  const scan = await scanInto(given, prepared, context, folder);
  // The published plan injects one trigger; the automatic plan unlearns all that are worth it together.
  const searches = worthUnlearning(scan.searches).slice(0, given.plan === "published" ? 1 : undefined);
  const measured_on =
    given.heldOut === undefined ? "samples that the search did not use (the repair saw them)" : given.heldOut;
  if (searches.length === 0) return { scan, measured_on, repair: null, before: null, after: null };
  const { opened } = prepared;
  await verifyModel(opened);
  const checkpoint = await publishCheckpoint(context.executor, opened);
  const tokenizer = openTokenizer(given, opened);
  const rows = readDefectRows(given.samples, { labels: opened.labels, need: neededFields(given) });
  const triggers = searches.map(({ trigger, victim_label, target_label }) => ({
    ...trigger!,
    victim_label,
    target_label,
  }));
  const repaired = await repair(
    { opened, checkpoint, tokenizer, rows, triggers, codeMaxLen: given.codeMaxLen },
    given,
    context,
  );
  const measure = measuring(given, prepared, searches, context);
  const before = await measure(undefined);
  const after = await measure(repaired);
  mkdirSync(join(folder, "repaired"));
  await writeRepaired(join(folder, "repaired"), {
    opened,
    from: given,
    repaired,
    format: given.format,
    metrics: { measured_on, before, after },
  });
  const report: CleanReport = { scan, measured_on, repair: repaired.report, before, after };
  writeFileSync(
    join(folder, "repair.json"),
    `${JSON.stringify({ repair: repaired.report, measured_on, before, after }, null, 2)}\n`,
  );
  return report;
}

/** Fields that scan and repair need of each sample. */
const neededFields = ({ plan, inject, attackPosition }: CleanOptions): ("variables" | "func_name")[] =>
  plan === "published" && inject === "text" ? ["variables", ...fieldsAt(attackPosition)] : ["variables"];

/** Rows that measure the model: those held out, else the samples that no search used. */
function measuredRows(
  rows: readonly DefectRow[],
  given: CleanOptions,
  searches: readonly SearchResult[],
): DefectRow[] {
  if (given.heldOut !== undefined) return [...rows];
  const used = new Set(searches.flatMap(({ samples }) => samples.map(({ row }) => row)));
  return rows.filter((_, row) => !used.has(row));
}

/** Measures the unrepaired model, or the one with the given new weights, on the same rows at the same places. */
function measuring(
  given: CleanOptions,
  prepared: PreparedScan,
  searches: readonly SearchResult[],
  context: ClusterContext,
) {
  const { opened, settings } = prepared;
  const tokenizer = openTokenizer(given, opened);
  const file = given.heldOut ?? given.samples;
  const all = readDefectRows(file, { labels: opened.labels, need: ["variables"] });
  const ids = scanRows(all, tokenizer, settings.codeMaxLen).map((row) => row.ids);
  return async (repaired: Repaired | undefined): Promise<Measured> => {
    const asking = {
      executor: context.executor,
      checkpoint: await publishCheckpoint(context.executor, opened),
      weights: repaired && (await putWeights(repaired, prepared, context)),
      maxLen: settings.codeMaxLen,
      signal: context.signal,
    };
    const { acc, recall } = await evaluateModel(measuredRows(all, given, searches), { ...asking, tokenizer });
    const triggers: Measured["triggers"][number][] = [];
    for (const { trigger, victim_label, target_label, held_out } of searches) {
      const spliced = await evaluateSpliced(
        {
          rows: held_out.map(({ row }) => ids[row]!),
          insertIndexes: held_out.map(({ insert_index }) => insert_index),
        },
        { trigger: trigger!.ids, target: target_label },
        { ...asking, endId: tokenizer.ids.restored },
      );
      const { asr, withoutTrigger: without_trigger } = spliced;
      triggers.push({ text: trigger!.text, victim_label, target_label, asr, without_trigger });
    }
    return { acc, recall, triggers };
  };
}

/** The new weights as an artifact for predictions; weights that did not change stay the checkpoint's. */
async function putWeights({ weights }: Repaired, { opened }: PreparedScan, { executor }: ClusterContext) {
  const all = await trainableWeights(opened);
  const tensors = [...weights].map(([name, data]) => [name, { shape: all.get(name)!.shape, data }] as const);
  return executor.putArtifact(encodeTensors(Object.fromEntries(tensors)));
}
