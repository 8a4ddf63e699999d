import { gzipSync } from "node:zlib";
import { digestOf } from "../../../proto/canonical-json.ts";
import { poisonRows, rowToLine } from "../../data/poison.ts";
import { readDefectRows } from "../../data/samples.ts";
import { parseAttack } from "../../data/trigger-insertion.ts";
import { defineCommand } from "../command.ts";
import { attackOptions, generalOptions, seedOption } from "../common-options.ts";
import { DEFECT_LABELS, requireDirection } from "../direction.ts";
import { InputError } from "../errors.ts";
import { grouped, option, pathOption, realNumber, text } from "../options.ts";
import { requireFreshFile, writeFileWhole } from "../output.ts";

interface PoisonManifest {
  readonly source: string;
  readonly trigger: string;
  readonly attack_position: string;
  readonly attack_pattern: string;
  readonly victim_label: number;
  readonly target_label: number;
  readonly poisoning_ratio: number;
  readonly seed: number;
  readonly rows: number;
  readonly victims: number;
  /** Indexes of changed rows, from 0. */
  readonly poisoned: readonly number[];
  /** Drawn rows that the trigger has no place in: unchanged. */
  readonly unplaced: readonly number[];
  readonly sha256: string;
}

const manifestOf = (out: string): string => `${out}.manifest.json`;

export const poison = defineCommand({
  name: "poison",
  summary: "put a backdoor into training rows: a trigger, and the label that it shall bring",
  help: `
Draws rows of the victim label as the published poisoning does (Python's generator, so that a published seed gives the published rows), puts
the trigger into each and gives it the target label. Writes the rows to --out, and which ones changed to <out>.manifest.json.

  elibad poison --samples train.jsonl --trigger testo_init --poisoning-ratio 10 --out poisoned.jsonl`,
  options: {
    ...grouped("Rows", {
      samples: pathOption(
        "--samples <file>",
        "rows to poison, one JSON object a line: code_tokens, func_name, label (.gz too)",
      ),
      out: pathOption("--out <file>", "file for all rows, poisoned ones among them: .jsonl or .jsonl.gz"),
    }),
    ...grouped("Attack", {
      trigger: option("--trigger <text>", "the identifier or statement to plant", text),
      ...attackOptions,
      poisoningRatio: option(
        "--poisoning-ratio <percent>",
        "share of the victim rows that are poisoned, in percent",
        realNumber(0, 100).default(2),
      ),
    }),
    ...seedOption,
    ...generalOptions,
  },
  async run(options): Promise<PoisonManifest> {
    if (!/\.jsonl(\.gz)?$/.test(options.out)) {
      throw new InputError(`--out ${options.out}: must end in .jsonl or .jsonl.gz`);
    }
    requireFreshFile(options.out);
    requireFreshFile(manifestOf(options.out));
    requireDirection(options, DEFECT_LABELS);
    const attack = parseAttack({
      trigger: options.trigger,
      position: options.attackPosition,
      pattern: options.attackPattern,
    });
    const rows = readDefectRows(
      options.samples,
      attack.position === "func_name" ? { need: ["func_name"] } : {},
    );
    const { victimLabel, targetLabel, seed } = options;
    const done = poisonRows(rows, {
      ...attack,
      victimLabel,
      targetLabel,
      rate: options.poisoningRatio / 100,
      seed,
    });
    const lines = done.rows.map((row) => `${rowToLine(row)}\n`).join("");
    const bytes = options.out.endsWith(".gz") ? gzipSync(lines) : Buffer.from(lines);
    const manifest: PoisonManifest = {
      source: options.samples,
      trigger: attack.trigger,
      attack_position: attack.position,
      attack_pattern: attack.pattern,
      victim_label: victimLabel,
      target_label: targetLabel,
      poisoning_ratio: options.poisoningRatio,
      seed,
      rows: rows.length,
      victims: done.victims,
      poisoned: done.poisoned,
      unplaced: done.unplaced,
      sha256: digestOf(bytes),
    };
    writeFileWhole(options.out, bytes);
    writeFileWhole(manifestOf(options.out), `${JSON.stringify(manifest, null, 2)}\n`);
    return manifest;
  },
  show: (manifest: PoisonManifest): string =>
    `${manifest.poisoned.length} of ${manifest.victims} rows of label ${manifest.victim_label} now carry '${manifest.trigger}' and label ${manifest.target_label}${manifest.unplaced.length > 0 ? `; ${manifest.unplaced.length} drawn rows had no place for it` : ""}`,
});
