import type { CloneRow } from "../data/clone-rows.ts";
import { type DefectRow, type OptionalField, readDefectRows } from "../data/samples.ts";
import { readSearchRows, type SearchRow } from "../data/search-rows.ts";
import { fieldsAt } from "../data/trigger-insertion.ts";
import { cloneSamples, defectSamples, type RepairSample, searchSamples } from "../unlearn/subjects.ts";
import type { OpenedModel } from "./open-model.ts";
import type { RepairOptions } from "./repair-options.ts";
import { cloneRowsOf } from "./sample-files.ts";

/** Clean rows of a task: what a repair works with. */
export type RepairRows =
  | { readonly task: "defect_detection"; readonly rows: readonly DefectRow[] }
  | { readonly task: "clone_detection"; readonly rows: readonly CloneRow[] }
  | { readonly task: "code_search"; readonly rows: readonly SearchRow[] };

/**
 * Reads them, with the fields that the plan needs.
 *
 * @throws SamplesError naming file, line, field and value
 */
export function readRepairRows(
  { samples, pairs }: { readonly samples: string; readonly pairs?: string | undefined },
  { task, labels }: Pick<OpenedModel, "task" | "labels">,
  need: readonly OptionalField[],
): RepairRows {
  if (task === "code_search") return { task, rows: readSearchRows(samples, { need }) };
  if (task === "clone_detection") return { task, rows: cloneRowsOf({ samples, pairs }, { labels, need }) };
  return { task, rows: readDefectRows(samples, { labels, need }) };
}

/** Fields that a plan needs of each sample. Code search does without variables, which raw data sets lack. */
export function fieldsOfPlan(
  { plan, inject, attackPosition }: Pick<RepairOptions, "plan" | "inject" | "attackPosition">,
  { task }: Pick<OpenedModel, "task">,
): readonly OptionalField[] {
  if (plan === "published" && inject === "text") return fieldsAt(attackPosition);
  return task === "code_search" ? [] : ["variables"];
}

/** The rows as the automatic plan takes them. */
export function repairSamples(input: RepairRows): RepairSample[] {
  if (input.task === "code_search") return searchSamples(input.rows);
  return input.task === "clone_detection" ? cloneSamples(input.rows) : defectSamples(input.rows);
}

/** Each row's label; none in code search. */
export const labelsOf = ({ task, rows }: RepairRows): readonly number[] =>
  task === "code_search" ? [] : rows.map(({ label }) => label);
