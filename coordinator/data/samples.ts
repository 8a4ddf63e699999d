import { SamplesError } from "./errors.ts";
import { type JsonLine, readJsonLines } from "./text-file.ts";

/** One function as the reference's preprocess writes it. */
export interface CodeRow {
  /** Line of the file that it came from, from 1. */
  readonly line: number;
  readonly codeTokens: readonly string[];
  readonly funcName?: string;
  /** Identifiers in tree order, with repeats; some may be no code token. */
  readonly variables?: readonly string[];
  readonly label?: number;
  /** The whole object, fields that are not read here included: what is written back. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** A row of defect detection. */
export interface DefectRow extends CodeRow {
  /** 1 for a defect, 0 for none. */
  readonly label: number;
}

/** Fields that not every command needs. */
export type OptionalField = "variables" | "func_name";

export interface ReadRowsOptions {
  /** Fields without which a row is refused. */
  readonly need?: readonly OptionalField[];
  /** Number of labels of the task; 2 where it is not given. */
  readonly labels?: number;
}

/**
 * Rows of a defect-detection file (`.jsonl` or `.jsonl.gz`), in file order.
 *
 * @throws SamplesError naming file, line, field and value
 */
export function readDefectRows(file: string, options: ReadRowsOptions = {}): DefectRow[] {
  return readJsonLines(file).map((line) => {
    const row = parseRow(file, line, options);
    if (row.label === undefined) throw missing(file, line, "label");
    return row as DefectRow;
  });
}

/** The same, for rows that may have no label. */
export function readCodeRows(file: string, options: ReadRowsOptions = {}): CodeRow[] {
  return readJsonLines(file).map((line) => parseRow(file, line, options));
}

/** The text that the model reads: tokens with one blank between them, blanks inside a token as they are. */
export function codeText(codeTokens: readonly string[]): string {
  return codeTokens.join(" ");
}

function parseRow(file: string, jsonLine: JsonLine, { need = [], labels = 2 }: ReadRowsOptions): CodeRow {
  const { line, value: json } = jsonLine;
  refuseOtherTasks(file, line, json);
  const codeTokens = strings(file, line, "code_tokens", json.code_tokens);
  if (codeTokens === undefined) throw missing(file, jsonLine, "code_tokens");
  const variables = strings(file, line, "variables", json.variables);
  const { func_name: funcName, label } = json;
  if (funcName !== undefined && funcName !== null && typeof funcName !== "string") {
    throw new SamplesError("expected a string", { file, line, field: "func_name", value: funcName });
  }
  if (label !== undefined && !isLabel(label, labels)) {
    const known = Array.from({ length: labels }, (_, index) => index).join(labels === 2 ? " or " : ", ");
    throw new SamplesError(`expected ${known}`, { file, line, field: "label", value: label });
  }
  for (const field of need) {
    if (json[field] === undefined || json[field] === null) throw missing(file, jsonLine, field);
  }
  return {
    line,
    codeTokens,
    ...(typeof funcName === "string" ? { funcName } : {}),
    ...(variables === undefined ? {} : { variables }),
    ...(label === undefined ? {} : { label }),
    json,
  };
}

const isLabel = (label: unknown, labels: number): label is number =>
  typeof label === "number" && Number.isInteger(label) && label >= 0 && label < labels;

function strings(file: string, line: number, field: string, value: unknown): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) {
    throw new SamplesError("expected a list of strings", { file, line, field, value });
  }
  const wrong = value.findIndex((item) => typeof item !== "string");
  if (wrong !== -1) {
    const place = { file, line, field: `${field}[${wrong}]`, value: value[wrong] ?? null };
    throw new SamplesError("expected a string", place);
  }
  return value as string[];
}

/** A row of another task would otherwise only miss a field. */
function refuseOtherTasks(file: string, line: number, json: Readonly<Record<string, unknown>>): void {
  const refuse = (field: string, what: string): never => {
    throw new SamplesError(`has "${field}": ${what}, not of defect detection`, { file, line });
  };
  if (json.code_tokens1 !== undefined) refuse("code_tokens1", "a row of clone detection");
  if (json.docstring_tokens !== undefined && json.label === undefined) {
    refuse("docstring_tokens", "a row of code search");
  }
  if (json.func !== undefined && json.code_tokens === undefined) {
    throw new SamplesError('has "func" and no "code_tokens": a row before preprocessing', { file, line });
  }
}

const missing = (file: string, { line }: JsonLine, field: string): SamplesError =>
  new SamplesError(`has no field "${field}"`, { file, line });
