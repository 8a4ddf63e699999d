import type { CloneRow } from "./clone-rows.ts";
import { SamplesError } from "./errors.ts";
import { type ReadRowsOptions, readRows, type Snippet, snippetOf } from "./samples.ts";
import { textLines } from "./text-file.ts";

/** A function of BigCloneBench (`data.jsonl`), preprocessed. */
export interface FunctionRow extends Snippet {
  readonly id: string;
  /** Line of the file that it came from, from 1. */
  readonly line: number;
  /** The whole object: what is written back. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** A line of a pair file: `id TAB id TAB label`. */
export interface FunctionPair {
  /** Line of the pair file, from 1. */
  readonly line: number;
  readonly first: string;
  readonly second: string;
  /** 1 for clones. */
  readonly label: number;
}

/**
 * Functions of a `data.jsonl` (or `.gz`), in file order.
 *
 * @throws SamplesError naming file, line, field and value; an id that occurs twice is one
 */
export function readFunctions(
  file: string,
  { need = [] }: Pick<ReadRowsOptions, "need"> = {},
): FunctionRow[] {
  const lines = new Map<string, number>();
  return readRows(file, (fields) => {
    if (fields.json.label !== undefined || fields.json.code_tokens1 !== undefined) {
      throw fields.refuse("is a labelled row; with a pair file, each line is one function");
    }
    fields.requireTask("clone_detection");
    const { line, json } = fields;
    const id = fields.id("idx");
    if (id === undefined) throw fields.missing("idx");
    const before = lines.get(id);
    if (before !== undefined) throw fields.wrong(`is the id of line ${before} too`, "idx", id);
    lines.set(id, line);
    const snippet = snippetOf(fields);
    fields.need(need);
    return { id, line, ...snippet, json };
  });
}

/**
 * Lines of a pair file (`train.txt`, `test.txt`; `.gz` too), in file order; empty lines are skipped.
 *
 * @throws SamplesError naming file and line, for a line that is no pair
 */
export function readPairs(file: string): FunctionPair[] {
  const pairs: FunctionPair[] = [];
  for (const { line, text } of textLines(file)) {
    if (text.trim() === "") continue;
    const [first, second, label, ...rest] = text.trim().split("\t");
    if (!first || !second || label === undefined || rest.length > 0) {
      throw new SamplesError(
        `expected two ids and a label with tabs between them, found ${JSON.stringify(text)}`,
        {
          file,
          line,
        },
      );
    }
    if (label !== "0" && label !== "1") {
      throw new SamplesError("expected 0 or 1", { file, line, field: "label", value: label });
    }
    pairs.push({ line, first, second, label: Number(label) });
  }
  if (pairs.length === 0) throw new SamplesError("is empty: expected a pair a line", { file });
  return pairs;
}

/**
 * Refuses pairs of functions that are not there.
 *
 * @throws SamplesError naming the pair file, the line and the id
 */
export function requireKnown(
  pairs: readonly FunctionPair[],
  functions: readonly FunctionRow[],
  { pairFile, functionFile }: { readonly pairFile: string; readonly functionFile: string },
): void {
  const known = new Set(functions.map(({ id }) => id));
  for (const { line, first, second } of pairs) {
    requireKnownPair({ line, first, second }, (id) => known.has(id), { pairFile, functionFile });
  }
}

/** The same for one pair. @throws SamplesError naming the pair file, the line and the id */
export function requireKnownPair(
  { line, first, second }: Pick<FunctionPair, "line" | "first" | "second">,
  isKnown: (id: string) => boolean,
  { pairFile, functionFile }: { readonly pairFile: string; readonly functionFile: string },
): void {
  const [field, id] = isKnown(first) ? ["second id", second] : ["first id", first];
  if (isKnown(id)) return;
  throw new SamplesError(`${functionFile} has no function of this id`, {
    file: pairFile,
    line,
    field,
    value: id,
  });
}

/**
 * Rows of clone detection from BigCloneBench's two files.
 *
 * @throws SamplesError as the readers of both, and for a pair with an unknown id
 */
export function readClonePairs(
  functionFile: string,
  pairFile: string,
  options: Pick<ReadRowsOptions, "need"> = {},
): CloneRow[] {
  const functions = readFunctions(functionFile, options);
  const pairs = readPairs(pairFile);
  requireKnown(pairs, functions, { pairFile, functionFile });
  const byId = new Map(functions.map((each) => [each.id, each]));
  return pairs.map((pair) => cloneRow(pair, byId.get(pair.first)!, byId.get(pair.second)!));
}

function cloneRow({ line, label }: FunctionPair, first: FunctionRow, second: FunctionRow): CloneRow {
  const json = { url1: first.id, url2: second.id, ...fieldsOf(first, "1"), ...fieldsOf(second, "2"), label };
  return { line, first, second, label, json };
}

function fieldsOf({ codeTokens, funcName, variables }: Snippet, suffix: "1" | "2"): Record<string, unknown> {
  return {
    [`code_tokens${suffix}`]: codeTokens,
    ...(funcName === undefined ? {} : { [`func_name${suffix}`]: funcName }),
    ...(variables === undefined ? {} : { [`variables${suffix}`]: variables }),
  };
}
