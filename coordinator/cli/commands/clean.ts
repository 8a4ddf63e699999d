import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { OptionalField } from "../../data/samples.ts";
import type { PairSearchResult, ScanResult, SearchResult } from "../../search/scan-result.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import type { ClusterContext } from "../command.ts";
import { generalOptions, outOption, seedOption } from "../common-options.ts";
import { worthUnlearning } from "../found-triggers.ts";
import { unlearnedTrigger } from "../given-triggers.ts";
import {
  type Measure,
  type Measured,
  measuredLines,
  measuringLabels,
  measuringRanks,
} from "../measure-repair.ts";
import { type OpenedModel, openTokenizer, publishCheckpoint, verifyModel } from "../open-model.ts";
import type { OptionSpecs, Parsed } from "../options.ts";
import { requireFreshFolder, writeFolderWhole } from "../output.ts";
import { type RepairReport, repair, type UnlearnedTrigger, writeRepaired } from "../repair.ts";
import { checkRepairOptions, repairOptions } from "../repair-options.ts";
import { fieldsOfPlan, readRepairRows } from "../repair-rows.ts";
import { preparePairScan, prepareScan } from "../scan-input.ts";
import { searchOptions, taskSearchOptions } from "../scan-options.ts";
import { scanTable } from "../show-scan.ts";
import { refuseForeignOptions, rowLimitsOf, taskModelOptions, taskSamplesOptions } from "../task-options.ts";
import { scanInto, scanPairsInto } from "./scan.ts";
import { showRepair } from "./unlearn.ts";

const options = {
  ...taskModelOptions,
  ...taskSamplesOptions,
  ...searchOptions,
  ...taskSearchOptions,
  ...repairOptions,
  ...outOption,
  ...seedOption,
  ...generalOptions,
} satisfies OptionSpecs;

type CleanOptions = Parsed<typeof options>;

interface CleanReport {
  readonly scan: ScanResult;
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
Unlearns the trigger that does most on held-out rows, and every other that does much. Writes into --out: result.json (the scan), repaired/ (the checkpoint,
which loads where the original loaded, with manifest.json) and repair.json (what was done, why, and the model before and after). Name rows that measure it
with --held-out; without, it is measured on the samples that the search did not use, of which the repair has seen most.

  elibad clean --model suspicious/ --base codebert-base/ --samples clean_samples.jsonl --held-out test.jsonl --out cleaned
  elibad clean --task clone_detection … --held-out data.jsonl --held-out-pairs test.txt --out cleaned-clones
  elibad clean --task code_search … --held-out test.jsonl --out cleaned-search`,
  options,
  async check(given) {
    requireFreshFolder(given.out);
    refuseForeignOptions(given, options);
    checkRepairOptions(given);
    const { opened } = await preparedScan(given);
    readRepairRows(given, opened, neededFields(given, opened));
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
      return `${scanTable(scan)}\nNo trigger does more on held-out rows than none does: nothing was repaired.`;
    return [
      scanTable(scan),
      showRepair(repaired),
      `${report.measured_on}, before → after:`,
      ...measuredLines(before!, after!),
    ].join("\n");
  },
});

/** A scan that is ready to run, whatever its task. */
interface PreparedClean {
  readonly opened: OpenedModel;
  scan(context: ClusterContext, folder: string): Promise<Scanned>;
}

/** What it found that is worth unlearning, and how to measure that. */
interface Scanned {
  readonly result: ScanResult;
  readonly triggers: readonly UnlearnedTrigger[];
  readonly measure: Measure;
}

async function preparedScan(given: CleanOptions): Promise<PreparedClean> {
  const limited = { ...given, ...rowLimitsOf(given) };
  // The published plan injects one trigger; the automatic plan unlearns all that are worth it together.
  const most = given.plan === "published" ? 1 : undefined;
  const { task } = given;
  if (task === "code_search") {
    const prepared = await preparePairScan(limited);
    return {
      opened: prepared.opened,
      async scan(context, folder) {
        const result = await scanPairsInto(given, prepared, context, folder);
        return scanned(result, most, (worth) => measuringRanks(given, prepared, worth, context));
      },
    };
  }
  const prepared = await prepareScan({ ...limited, task });
  return {
    opened: prepared.opened,
    async scan(context, folder) {
      const result = await scanInto(given, prepared, context, folder);
      return scanned(result, most, (worth) => measuringLabels(given, prepared, worth, context));
    },
  };
}

/** At most `most` of the triggers that are worth unlearning, and what measures them. */
function scanned<S extends SearchResult | PairSearchResult>(
  result: ScanResult & { readonly searches: readonly S[] },
  most: number | undefined,
  measuring: (worth: readonly S[]) => Measure,
): Scanned {
  const worth = worthUnlearning(result.searches).slice(0, most);
  return { result, triggers: worth.map(unlearnedTrigger), measure: measuring(worth) };
}

async function cleanInto(given: CleanOptions, context: ClusterContext, folder: string): Promise<CleanReport> {
  const { opened, scan } = await preparedScan(given);
  const { result, triggers, measure } = await scan(context, folder);
  const measured_on =
    given.heldOut === undefined ? "samples that the search did not use (the repair saw them)" : given.heldOut;
  if (triggers.length === 0) return { scan: result, measured_on, repair: null, before: null, after: null };
  await verifyModel(opened);
  const repaired = await repair(
    {
      opened,
      checkpoint: await publishCheckpoint(context.executor, opened),
      tokenizer: openTokenizer(given, opened),
      samples: readRepairRows(given, opened, neededFields(given, opened)),
      triggers,
      limits: rowLimitsOf(given),
    },
    given,
    context,
  );
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
  writeFileSync(
    join(folder, "repair.json"),
    `${JSON.stringify({ repair: repaired.report, measured_on, before, after }, null, 2)}\n`,
  );
  return { scan: result, measured_on, repair: repaired.report, before, after };
}

/** Fields that scan and repair need of each sample. */
const neededFields = (given: CleanOptions, opened: OpenedModel): OptionalField[] => [
  ...new Set<OptionalField>([
    ...(opened.task === "code_search" ? [] : (["variables"] as const)),
    ...fieldsOfPlan(given, opened),
  ]),
];
