import { RowFields } from "./row-fields.ts";
import { jsonLines } from "./text-file.ts";

/** One function as the reference's preprocess writes it. */
export interface Snippet {
  readonly codeTokens: readonly string[];
  readonly funcName?: string;
  /** Identifiers in tree order, with repeats; some may be no code token. */
  readonly variables?: readonly string[];
}

/** A row with one function. */
export interface CodeRow extends Snippet {
  /** Line of the file that it came from, from 1. */
  readonly line: number;
  readonly label?: number;
  /** The whole object, fields that are not read here included: what is written back. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** A row of defect detection. */
export interface DefectRow extends CodeRow {
  /** 1 for a defect, 0 for none. */
  readonly label: number;
}

/** Fields of one function that not every command needs. */
export type OptionalField = "variables" | "func_name";

export interface ReadRowsOptions<Field extends string = OptionalField> {
  /** Fields without which a row is refused. */
  readonly need?: readonly Field[];
  /** Number of labels of the task; 2 where it is not given. */
  readonly labels?: number;
}

/**
 * Rows of a defect-detection file (`.jsonl` or `.jsonl.gz`), in file order.
 *
 * @throws SamplesError naming file, line, field and value
 */
export function readDefectRows(file: string, options: ReadRowsOptions = {}): DefectRow[] {
  return readRows(file, (fields) => {
    const row = codeRow(fields, options);
    if (row.label === undefined) throw fields.missing("label");
    return row as DefectRow;
  });
}

/** The same, for rows that may have no label. */
export function readCodeRows(file: string, options: ReadRowsOptions = {}): CodeRow[] {
  return readRows(file, (fields) => codeRow(fields, options));
}

/** One row for each line of a JSONL file. */
export function readRows<R>(file: string, rowOf: (fields: RowFields) => R): R[] {
  return Array.from(jsonLines(file), (line) => rowOf(new RowFields(file, line)));
}

/** The function whose fields end in `suffix` (clone rows: `1` and `2`). @throws SamplesError where it has no code tokens */
export function snippetOf(fields: RowFields, suffix: "" | "1" | "2" = ""): Snippet {
  const codeTokens = fields.strings(`code_tokens${suffix}`);
  if (codeTokens === undefined) throw fields.missing(`code_tokens${suffix}`);
  const funcName = fields.text(`func_name${suffix}`);
  const variables = fields.strings(`variables${suffix}`);
  return {
    codeTokens,
    ...(funcName === undefined ? {} : { funcName }),
    ...(variables === undefined ? {} : { variables }),
  };
}

/** The text that the model reads: tokens with one blank between them, blanks inside a token as they are. */
export function codeText(codeTokens: readonly string[]): string {
  return codeTokens.join(" ");
}

function codeRow(fields: RowFields, { need = [], labels = 2 }: ReadRowsOptions): CodeRow {
  fields.requireTask("defect_detection");
  const { line, json } = fields;
  const snippet = snippetOf(fields);
  const label = fields.label(labels);
  fields.need(need);
  return { line, ...snippet, ...(label === undefined ? {} : { label }), json };
}
