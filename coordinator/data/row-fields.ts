import type { Task } from "../../proto/operations.ts";
import { SamplesError } from "./errors.ts";
import type { JsonLine } from "./text-file.ts";

/** The fields of one line of a sample file, each checked as it is read. Every refusal names file, line, field and value. */
export class RowFields {
  readonly line: number;
  readonly json: Readonly<Record<string, unknown>>;
  readonly #file: string;

  constructor(file: string, { line, value }: JsonLine) {
    this.#file = file;
    this.line = line;
    this.json = value;
  }

  /** A list of strings; undefined where the field is absent or null. */
  strings(field: string): readonly string[] | undefined {
    const value = this.json[field];
    if (value === undefined || value === null) return undefined;
    if (!Array.isArray(value)) throw this.wrong("expected a list of strings", field, value);
    const wrong = value.findIndex((item) => typeof item !== "string");
    if (wrong !== -1) throw this.wrong("expected a string", `${field}[${wrong}]`, value[wrong] ?? null);
    return value as string[];
  }

  /** A string; undefined where the field is absent or null. */
  text(field: string): string | undefined {
    const value = this.json[field];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== "string") throw this.wrong("expected a string", field, value);
    return value;
  }

  /** A name that is a string or a whole number, as text; undefined where the field is absent or null. */
  id(field: string): string | undefined {
    const value = this.json[field];
    if (Number.isSafeInteger(value)) return String(value);
    return this.text(field);
  }

  /** `label`, below the number of labels; undefined where it is absent. */
  label(labels: number): number | undefined {
    const { label } = this.json;
    if (label === undefined) return undefined;
    if (!Number.isInteger(label) || Number(label) < 0 || Number(label) >= labels) {
      const known = Array.from({ length: labels }, (_, index) => index).join(labels === 2 ? " or " : ", ");
      throw this.wrong(`expected ${known}`, "label", label);
    }
    return label as number;
  }

  /** Refuses a row without one of these fields. */
  need(fields: readonly string[]): void {
    for (const field of fields) {
      if (this.json[field] === undefined || this.json[field] === null) throw this.missing(field);
    }
  }

  /** Refuses a row of another task by that task's name, where it would otherwise only miss a field. */
  requireTask(task: Task): void {
    const found = taskOf(this.json);
    if (found !== undefined && found.task !== task) {
      throw this.refuse(
        `has "${found.field}": a row of ${taskInWords(found.task)}, not of ${taskInWords(task)}`,
      );
    }
    if (found === undefined && this.json.func !== undefined && this.json.code_tokens === undefined) {
      throw this.refuse('has "func" and no "code_tokens": a row before preprocessing');
    }
  }

  missing(field: string): SamplesError {
    return this.refuse(`has no field "${field}"`);
  }

  wrong(problem: string, field: string, value: unknown): SamplesError {
    return new SamplesError(problem, { file: this.#file, line: this.line, field, value });
  }

  refuse(problem: string): SamplesError {
    return new SamplesError(problem, { file: this.#file, line: this.line });
  }
}

/** `clone detection` */
export const taskInWords = (task: Task): string => task.replace("_", " ");

/** The task of a row, and the field that shows it; undefined where it could be of several. */
function taskOf({
  code_tokens1: pair,
  code_tokens: code,
  docstring_tokens: query,
  label,
}: Readonly<Record<string, unknown>>): { readonly task: Task; readonly field: string } | undefined {
  if (pair !== undefined) return { task: "clone_detection", field: "code_tokens1" };
  if (query !== undefined) {
    // Rows of several data sets have both; as rows of defect detection they are complete.
    return label === undefined ? { task: "code_search", field: "docstring_tokens" } : undefined;
  }
  return code !== undefined && label !== undefined ? { task: "defect_detection", field: "label" } : undefined;
}
