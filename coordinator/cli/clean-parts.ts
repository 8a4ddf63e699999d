/** The parts of cleaning one model: scan, unlearn, measure, write. `elibad clean` does them in one go, a sweep one after the other. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { OptionalField } from "../data/samples.ts";
import type { PairSearchResult, ScanResult, SearchResult } from "../search/scan-result.ts";
import type { CleanOptions } from "./clean-options.ts";
import type { ClusterContext } from "./command.ts";
import { worthUnlearning } from "./found-triggers.ts";
import { unlearnedTrigger } from "./given-triggers.ts";
import { type Measure, type Measured, measuringLabels, measuringRanks } from "./measure-repair.ts";
import { type OpenedModel, openTokenizer, publishCheckpoint, verifyModel } from "./open-model.ts";
import { type Repaired, type RepairReport, repair, type UnlearnedTrigger, writeRepaired } from "./repair.ts";
import { fieldsOfPlan, readRepairRows } from "./repair-rows.ts";
import { preparePairScan, prepareScan } from "./scan-input.ts";
import {
  type AnyScanCommits,
  type PairScanCommits,
  type ScanCommits,
  scanInto,
  scanPairsInto,
} from "./scan-into.ts";
import { rowLimitsOf } from "./task-options.ts";

/** A scan that is ready to run, whatever its task. */
export interface PreparedClean {
  readonly opened: OpenedModel;
  /** @param folder gets `result.json`, and `trace.jsonl` where asked for; absent: nothing is written */
  scan(context: ClusterContext, folder: string | undefined, commits?: AnyScanCommits): Promise<Scanned>;
}

/** What it found that is worth unlearning, and how to measure that. */
export interface Scanned {
  readonly result: ScanResult;
  readonly triggers: readonly UnlearnedTrigger[];
  readonly measure: Measure;
}

/** Reads and checks everything that a scan needs, before a worker is asked for anything. */
export async function prepareClean(given: CleanOptions): Promise<PreparedClean> {
  const limited = { ...given, ...rowLimitsOf(given) };
  // The published plan injects one trigger; the automatic plan unlearns all that are worth it together.
  const most = given.plan === "published" ? 1 : undefined;
  const { task } = given;
  if (task === "code_search") {
    const prepared = await preparePairScan(limited);
    return {
      opened: prepared.opened,
      async scan(context, folder, commits) {
        const result = await scanPairsInto(given, prepared, context, folder, commits as PairScanCommits);
        return scanned(result, most, (worth) => measuringRanks(given, prepared, worth, context));
      },
    };
  }
  const prepared = await prepareScan({ ...limited, task });
  return {
    opened: prepared.opened,
    async scan(context, folder, commits) {
      const result = await scanInto(given, prepared, context, folder, commits as ScanCommits);
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

/** The rows that a repair trains on. @throws SamplesError naming file, line, field and value */
export const cleanRows = (given: CleanOptions, opened: OpenedModel) =>
  readRepairRows(given, opened, neededFields(given, opened));

/** Unlearns triggers; nothing is written. */
export async function unlearnTriggers(
  given: CleanOptions,
  opened: OpenedModel,
  triggers: readonly UnlearnedTrigger[],
  context: ClusterContext,
): Promise<Repaired> {
  await verifyModel(opened);
  return repair(
    {
      opened,
      checkpoint: await publishCheckpoint(context.executor, opened),
      tokenizer: openTokenizer(given, opened),
      samples: cleanRows(given, opened),
      triggers,
      limits: rowLimitsOf(given),
    },
    given,
    context,
  );
}

/** What `clean` did with a model, beside its scan; `repair.json`. */
export interface CleanOutcome {
  /** Null where no search found a trigger: nothing was repaired. */
  readonly repair: RepairReport | null;
  /** Which rows `before` and `after` are of. Samples that the search did not use are no unseen rows: the repair trains on most of them. */
  readonly measured_on: string;
  readonly before: Measured | null;
  readonly after: Measured | null;
}

/** Measures the model and its repaired copy, and writes the copy into `repaired/` and the outcome into `repair.json` of a folder. */
export async function measureAndWrite(
  given: CleanOptions,
  opened: OpenedModel,
  { repaired, measure }: { readonly repaired: Repaired | null; readonly measure: Measure },
  folder: string,
): Promise<CleanOutcome> {
  const measured_on = given.heldOut ?? "samples that the search did not use (the repair saw them)";
  if (repaired === null) return { repair: null, measured_on, before: null, after: null };
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
  const outcome = { repair: repaired.report, measured_on, before, after };
  writeFileSync(join(folder, "repair.json"), `${JSON.stringify(outcome, null, 2)}\n`);
  return outcome;
}

/** Fields that scan and repair need of each sample. */
const neededFields = (given: CleanOptions, opened: OpenedModel): OptionalField[] => [
  ...new Set<OptionalField>([
    ...(opened.task === "code_search" ? [] : (["variables"] as const)),
    ...fieldsOfPlan(given, opened),
  ]),
];
