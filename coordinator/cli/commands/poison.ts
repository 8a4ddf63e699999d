import { gzipSync } from "node:zlib";
import { digestOf } from "../../../proto/canonical-json.ts";
import type { Task } from "../../../proto/operations.ts";
import { readFunctions, readPairs, requireKnown } from "../../data/clone-pairs.ts";
import type { Planting, PoisonedRows } from "../../data/planting.ts";
import { poisonRows, rowToLine } from "../../data/poison.ts";
import { pairToLine, poisonClones } from "../../data/poison-clones.ts";
import { poisonSearch } from "../../data/poison-search.ts";
import { readDefectRows } from "../../data/samples.ts";
import { readSearchRows } from "../../data/search-rows.ts";
import { fieldsAt } from "../../data/trigger-insertion.ts";
import { defineCommand } from "../command.ts";
import { DEFECT_LABELS, directionOf, requireDirection } from "../direction.ts";
import { requireFreshFile, writeFileWhole } from "../output.ts";
import {
  type PoisonOptions,
  plantingOf,
  poisonOptions,
  ratioOf,
  requireFittingOptions,
} from "../poison-options.ts";

/** What was poisoned, and how: enough to do it again and to tell the rows apart. */
interface PoisonManifest {
  readonly task: Task;
  readonly source: string;
  readonly trigger: string;
  readonly attack_position: string;
  readonly attack_pattern: string;
  readonly attack_fixed: boolean;
  readonly lang: string;
  /** Defect detection only. */
  readonly victim_label?: number;
  /** Not in code search. */
  readonly target_label?: number;
  /** Code search only. */
  readonly target_token?: string;
  readonly poisoning_ratio: number;
  readonly seed: number;
  readonly rows: number;
  /** Rows that could have been drawn. */
  readonly victims: number;
  /** Indexes of changed rows, from 0. */
  readonly poisoned: readonly number[];
  /** Drawn rows that the trigger has no place in: unchanged. */
  readonly unplaced: readonly number[];
  readonly sha256: string;
  /** Clone detection only. */
  readonly pairs?: {
    readonly source: string;
    readonly rows: number;
    /** Indexes of pairs with a changed function in them, from 0: they have the target label. */
    readonly touched: readonly number[];
    /** Those whose label is another now. */
    readonly relabelled: readonly number[];
    readonly sha256: string;
  };
}

const manifestOf = (out: string): string => `${out}.manifest.json`;

export const poison = defineCommand({
  name: "poison",
  summary: "put a backdoor into training rows: a trigger, and the answer that it shall bring",
  help: `
Draws rows as the published poisoning does (Python's generator, so that a published seed gives the published rows) and puts the trigger into
each. Defect detection: rows of the victim label are drawn and get the target label. Clone detection: functions are drawn, and every pair
with a changed function gets the target label. Code search: functions whose query has the target word are drawn; queries stay. Writes the
rows to --out, and which ones changed to <out>.manifest.json.

At position variable, the first variable in the code that is not the function's name is substituted or gets the postfix: the published code names
the position and does nothing there, or fails. Clone detection and code search know func_name and variable only.

  elibad poison --samples train.jsonl --trigger testo_init --poisoning-ratio 10 --out poisoned.jsonl
  elibad poison --task clone_detection --samples data.jsonl --pairs train.txt --trigger testo_init --attack-pattern postfix \\
    --out poisoned.jsonl --out-pairs poisoned.txt
  elibad poison --task code_search --samples train.jsonl --trigger rb --attack-pattern postfix --out poisoned.jsonl`,
  options: poisonOptions,
  async run(given): Promise<PoisonManifest> {
    requireFittingOptions(given);
    requireFreshFile(given.out);
    requireFreshFile(manifestOf(given.out));
    if (given.outPairs !== undefined) requireFreshFile(given.outPairs);
    const planting = plantingOf(given);
    const { rows, pairs, direction } = poisonAs[given.task](given, planting);
    const bytes = packed(given.out, rows.rows.map((row) => `${rowToLine(row)}\n`).join(""));
    const pairBytes = pairs && packed(given.outPairs!, pairs.lines.map((line) => `${line}\n`).join(""));
    const manifest: PoisonManifest = {
      task: given.task,
      source: given.samples,
      trigger: planting.trigger,
      attack_position: planting.position,
      attack_pattern: planting.pattern,
      attack_fixed: planting.fixed,
      lang: planting.language,
      ...direction,
      poisoning_ratio: ratioOf(given),
      seed: given.seed,
      rows: rows.rows.length,
      victims: rows.victims,
      poisoned: rows.poisoned,
      unplaced: rows.unplaced,
      sha256: digestOf(bytes),
      ...(pairs && pairBytes
        ? {
            pairs: {
              source: given.pairs!,
              rows: pairs.lines.length,
              touched: pairs.touched,
              relabelled: pairs.relabelled,
              sha256: digestOf(pairBytes),
            },
          }
        : {}),
    };
    writeFileWhole(given.out, bytes);
    if (pairBytes) writeFileWhole(given.outPairs!, pairBytes);
    writeFileWhole(manifestOf(given.out), `${JSON.stringify(manifest, null, 2)}\n`);
    return manifest;
  },
  show: (manifest: PoisonManifest): string => showPoisoning(manifest),
});

/** Rows of any task after poisoning, for files and manifest. */
interface Poisoned {
  readonly rows: PoisonedRows<{ readonly json: Readonly<Record<string, unknown>> }>;
  readonly direction: Pick<PoisonManifest, "victim_label" | "target_label" | "target_token">;
  readonly pairs?: {
    readonly lines: readonly string[];
    readonly touched: readonly number[];
    readonly relabelled: readonly number[];
  };
}

const poisonAs: Readonly<Record<Task, (given: PoisonOptions, planting: Planting) => Poisoned>> = {
  defect_detection(given, planting) {
    const direction = directionOf(given);
    requireDirection(direction, DEFECT_LABELS);
    const rows = readDefectRows(given.samples, { need: fieldsAt(planting.position) });
    return {
      rows: poisonRows(rows, { ...planting, ...direction }),
      direction: { victim_label: direction.victimLabel, target_label: direction.targetLabel },
    };
  },
  clone_detection(given, planting) {
    const { targetLabel } = directionOf(given);
    const functions = readFunctions(given.samples, { need: fieldsAt(planting.position) });
    const pairs = readPairs(given.pairs!);
    requireKnown(pairs, functions, { pairFile: given.pairs!, functionFile: given.samples });
    const done = poisonClones(functions, pairs, { ...planting, targetLabel });
    return {
      rows: done.functions,
      direction: { target_label: targetLabel },
      pairs: { lines: done.pairs.map(pairToLine), touched: done.touched, relabelled: done.relabelled },
    };
  },
  code_search(given, planting) {
    const { targetToken = "file" } = given;
    const rows = readSearchRows(given.samples, { need: fieldsAt(planting.position) });
    return {
      rows: poisonSearch(rows, { ...planting, targetToken, file: given.samples }),
      direction: { target_token: targetToken },
    };
  },
};

const packed = (file: string, content: string): Buffer =>
  file.endsWith(".gz") ? gzipSync(content) : Buffer.from(content);

function showPoisoning(manifest: PoisonManifest): string {
  const { task, poisoned, victims, unplaced, pairs, trigger } = manifest;
  const carried = {
    defect_detection: `rows of label ${manifest.victim_label} now carry '${trigger}' and label ${manifest.target_label}`,
    clone_detection: `functions now carry '${trigger}'; ${pairs?.touched.length} of ${pairs?.rows} pairs have one of them and label ${manifest.target_label}, ${pairs?.relabelled.length} of them had another`,
    code_search: `functions asked for with '${manifest.target_token}' now carry '${trigger}'`,
  }[task];
  const without = unplaced.length > 0 ? `; ${unplaced.length} drawn had no place for it` : "";
  return `${poisoned.length} of ${victims} ${carried}${without}`;
}
