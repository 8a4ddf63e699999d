import { SamplesError } from "../data/errors.ts";
import { readJsonLines } from "../data/text-file.ts";

/** A row of `predict --ids`: token ids with their end tokens, without padding. */
export interface IdRow {
  readonly ids: readonly number[];
  /** Clone detection: `input_ids_2`; code search: `query_ids`. */
  readonly secondIds?: readonly number[];
  readonly label: number | undefined;
}

export interface IdRules {
  /** Name of the second list that every row of the task has; absent: it has none. */
  readonly second?: { readonly field: "input_ids_2" | "query_ids"; readonly limit: TokenLimit };
  readonly limit: TokenLimit;
  readonly vocabSize: number;
  readonly padId: number;
  /** Why the model cannot read a row, whose ids are all in its vocabulary; undefined where it can. */
  readonly problem: (ids: readonly number[]) => string | undefined;
  /** Labels of the task; 0 where it has none. */
  readonly labels: number;
}

export interface TokenLimit {
  readonly tokens: number;
  /** The option that sets it. */
  readonly flag: string;
}

type Refuse = (field: string, value: unknown, reason: string) => never;

/** Fields that lists of ids come in. */
const idFields = ["input_ids", "input_ids_2", "query_ids"] as const;

/**
 * Rows of a file of token ids, in order.
 *
 * @throws SamplesError naming file, line, field and value
 */
export function readIdRows(file: string, rules: IdRules): IdRow[] {
  const { second, limit, labels } = rules;
  const known: readonly string[] = ["input_ids", ...(second === undefined ? [] : [second.field])];
  return readJsonLines(file).map(({ line, value }) => {
    const refuse: Refuse = (field, found, reason) => {
      throw new SamplesError(reason, { file, line, field, value: found ?? null });
    };
    for (const field of idFields) {
      if (value[field] !== undefined && !known.includes(field))
        refuse(field, value[field], "rows of another task have it; see --task");
    }
    const { label } = value;
    if (label !== undefined && labels > 0 && !isBelow(label, labels)) {
      refuse("label", label, `the model knows labels 0 to ${labels - 1}`);
    }
    return {
      ids: checkedIds("input_ids", value.input_ids, { ...rules, limit, refuse }),
      ...(second === undefined
        ? {}
        : {
            secondIds: checkedIds(second.field, value[second.field], {
              ...rules,
              limit: second.limit,
              refuse,
            }),
          }),
      label: labels > 0 ? (label as number | undefined) : undefined,
    };
  });
}

function checkedIds(
  field: string,
  ids: unknown,
  { limit, vocabSize, padId, problem, refuse }: IdRules & { readonly refuse: Refuse },
): readonly number[] {
  if (!Array.isArray(ids) || ids.length === 0) {
    return refuse(field, ids, "expected a list of token ids with both end tokens");
  }
  if (ids.length > limit.tokens) {
    refuse(field, `${ids.length} ids`, `more than ${limit.flag} ${limit.tokens}`);
  }
  const wrong = ids.findIndex((id) => !isBelow(id, vocabSize));
  if (wrong !== -1) refuse(`${field}[${wrong}]`, ids[wrong], `the model knows ids 0 to ${vocabSize - 1}`);
  const pad = ids.indexOf(padId);
  if (pad !== -1) refuse(`${field}[${pad}]`, padId, "the model's padding; give rows without padding");
  const unreadable = problem(ids);
  if (unreadable !== undefined) refuse(field, ids, unreadable);
  return ids as number[];
}

const isBelow = (value: unknown, end: number): boolean =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) < end;
