import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeTensors } from "../../../proto/tensors.ts";
import { verifyWeights } from "../../../worker/checkpoint/verify-weights.ts";
import { type DefectRow, readDefectRows } from "../../data/samples.ts";
import { evaluateModel } from "../../evaluate/evaluate.ts";
import { formatRate, type Rate } from "../../evaluate/rate.ts";
import { evaluateSpliced } from "../../evaluate/spliced.ts";
import type { ScanResult, SearchResult } from "../../search/scan-result.ts";
import { scanRows } from "../../search/scan-rows.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import type { ClusterContext } from "../command.ts";
import { generalOptions, modelOptions, outOption, samplesOption, seedOption } from "../common-options.ts";
import { openTokenizer, publishCheckpoint } from "../open-model.ts";
import type { OptionSpecs, Parsed } from "../options.ts";
import { requireFreshFolder, writeFolderWhole } from "../output.ts";
import { type Repaired, type RepairReport, repair, writeRepaired } from "../repair.ts";
import { repairOptions } from "../repair-options.ts";
import { searchOptions } from "../scan-options.ts";
import { scanTable } from "../show-scan.ts";
import { strongestSearch } from "../strongest-search.ts";
import { trainableWeights } from "../trainable-weights.ts";
import { type PreparedScan, prepareScan, scanInto } from "./scan.ts";
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

/** One model on the rows that neither scan nor repair used, with the inverted trigger at each row's own index. */
interface Measured {
  readonly acc: Rate;
  readonly recall: readonly Rate[];
  readonly inverted_asr: Rate;
  readonly without_trigger: Rate;
}

interface CleanReport {
  readonly scan: ScanResult;
  /** Null where no search found a trigger: nothing was repaired. */
  readonly repair: RepairReport | null;
  readonly before: Measured | null;
  readonly after: Measured | null;
}

export const clean = defineClusterCommand({
  name: "clean",
  summary: "scan, unlearn the strongest trigger, evaluate: everything for one suspicious model",
  help: `
Writes into --out: result.json (the scan), repaired/ (the checkpoint, which loads where the original loaded, with manifest.json) and repair.json (what was
done, and the model before and after on the held-out rows). Name rows that measure it with --held-out; without, the samples that the search did not use.

  elibad clean --model suspicious/ --base codebert-base/ --samples clean_samples.jsonl --held-out test.jsonl --out cleaned`,
  options,
  async check(given) {
    requireFreshFolder(given.out);
    await prepareScan(given);
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
    if (repaired === null) return `${scanTable(scan)}\nNo search found a trigger: nothing was repaired.`;
    const line = (name: string, value: (measured: Measured) => Rate): string =>
      `${name.padEnd(18)} ${formatRate(value(before!))} → ${formatRate(value(after!))}`;
    return [
      scanTable(scan),
      showRepair(repaired),
      "held-out rows, before → after:",
      line("ACC", ({ acc }) => acc),
      ...before!.recall.map((_, label) => line(`recall of ${label}`, ({ recall }) => recall[label]!)),
      line("inverted trigger", ({ inverted_asr }) => inverted_asr),
      line("without trigger", ({ without_trigger }) => without_trigger),
    ].join("\n");
  },
});

async function cleanInto(given: CleanOptions, context: ClusterContext, folder: string): Promise<CleanReport> {
  const prepared = await prepareScan(given);
  const scan = await scanInto(given, prepared, context, folder);
  const search = strongestSearch(scan.searches);
  if (search?.trigger == null) return { scan, repair: null, before: null, after: null };
  const { opened } = prepared;
  await verifyWeights(opened.checkpoint);
  const checkpoint = await publishCheckpoint(context.executor, opened);
  const tokenizer = openTokenizer(given, opened);
  const rows = readDefectRows(given.samples, { labels: opened.labels, need: ["variables"] });
  const trigger = { ...search.trigger, victim_label: search.victim_label, target_label: search.target_label };
  const repaired = await repair(
    { opened, checkpoint, tokenizer, rows, trigger, codeMaxLen: given.codeMaxLen },
    given,
    context,
  );
  const measure = measuring(given, prepared, search, context);
  const before = await measure(undefined);
  const after = await measure(repaired);
  mkdirSync(join(folder, "repaired"));
  await writeRepaired(join(folder, "repaired"), {
    opened,
    from: given,
    repaired,
    format: given.format,
    metrics: { before, after },
  });
  const report: CleanReport = { scan, repair: repaired.report, before, after };
  writeFileSync(
    join(folder, "repair.json"),
    `${JSON.stringify({ repair: repaired.report, before, after }, null, 2)}\n`,
  );
  return report;
}

/** Rows that measure the model: those held out, else the samples that the search did not use. */
function measuredRows(given: CleanOptions, { opened }: PreparedScan, search: SearchResult): DefectRow[] {
  const rows = readDefectRows(given.heldOut ?? given.samples, { labels: opened.labels, need: ["variables"] });
  if (given.heldOut !== undefined) return rows;
  const used = new Set(search.samples.map(({ row }) => row));
  return rows.filter((_, row) => !used.has(row));
}

/** Measures the unrepaired model, or the one with the given new weights, on the same rows at the same places. */
function measuring(
  given: CleanOptions,
  prepared: PreparedScan,
  search: SearchResult,
  context: ClusterContext,
) {
  const { opened, settings } = prepared;
  const tokenizer = openTokenizer(given, opened);
  const rows = measuredRows(given, prepared, search);
  const placeOf = new Map(search.held_out.map(({ row, insert_index }) => [row, insert_index]));
  const all = readDefectRows(given.heldOut ?? given.samples, { labels: opened.labels });
  const victims = [...placeOf.keys()].map((row) => scanRows([all[row]!], tokenizer, settings.codeMaxLen)[0]!);
  return async (repaired: Repaired | undefined): Promise<Measured> => {
    const weights = repaired && (await putWeights(repaired, prepared, context));
    const asking = {
      executor: context.executor,
      checkpoint: await publishCheckpoint(context.executor, opened),
      weights,
      maxLen: settings.codeMaxLen,
      signal: context.signal,
    };
    const { acc, recall } = await evaluateModel(rows, { ...asking, tokenizer });
    const spliced = await evaluateSpliced(
      { rows: victims.map((row) => row.ids), insertIndexes: [...placeOf.values()] },
      { trigger: search.trigger!.ids, target: search.target_label },
      { ...asking, endId: tokenizer.ids.end },
    );
    return { acc, recall, inverted_asr: spliced.asr, without_trigger: spliced.withoutTrigger };
  };
}

/** The new weights as an artifact for predictions; weights that did not change stay the checkpoint's. */
async function putWeights({ weights }: Repaired, { opened }: PreparedScan, { executor }: ClusterContext) {
  const all = await trainableWeights(opened);
  const tensors = [...weights].map(([name, data]) => [name, { shape: all.get(name)!.shape, data }] as const);
  return executor.putArtifact(encodeTensors(Object.fromEntries(tensors)));
}
