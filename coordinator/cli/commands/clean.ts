import type { ScanResult } from "../../search/scan-result.ts";
import { type CleanOptions, cleanOptions } from "../clean-options.ts";
import {
  type CleanOutcome,
  cleanRows,
  measureAndWrite,
  prepareClean,
  unlearnTriggers,
} from "../clean-parts.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import type { ClusterContext } from "../command.ts";
import { measuredLines } from "../measure-repair.ts";
import { requireFreshFolder, writeFolderWhole } from "../output.ts";
import { checkRepairOptions } from "../repair-options.ts";
import { scanTable } from "../show-scan.ts";
import { refuseForeignOptions } from "../task-options.ts";
import { showRepair } from "./unlearn.ts";

interface CleanReport extends CleanOutcome {
  readonly scan: ScanResult;
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
  options: cleanOptions,
  async check(given) {
    requireFreshFolder(given.out);
    refuseForeignOptions(given, cleanOptions);
    checkRepairOptions(given);
    const { opened } = await prepareClean(given);
    cleanRows(given, opened);
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

async function cleanInto(given: CleanOptions, context: ClusterContext, folder: string): Promise<CleanReport> {
  const { opened, scan } = await prepareClean(given);
  const { result, triggers, measure } = await scan(context, folder);
  const repaired = triggers.length === 0 ? null : await unlearnTriggers(given, opened, triggers, context);
  return { scan: result, ...(await measureAndWrite(given, opened, { repaired, measure }, folder)) };
}
