import { canonicalJson, digestOf } from "../../proto/canonical-json.ts";
import type { Digest, Executor, SampleSet, Vocabulary } from "../../proto/operations.ts";
import type { SearchSettings } from "./settings.ts";

/** What one search works on. */
export interface SearchProblem {
  readonly checkpoint: Digest;
  /** Token ids of the victim samples, end tokens included, without padding. */
  readonly rows: readonly (readonly number[])[];
  /** Clone detection: second snippets of the samples, which the trigger does not change. */
  readonly secondRows?: readonly (readonly number[])[] | undefined;
  /** Sub-token index at which the trigger goes into each row. */
  readonly insertIndexes: readonly number[];
  /** Longest row after stamping, in tokens. */
  readonly maxLen: number;
  /** Id that the last column of a full row gets. */
  readonly endId: number;
  /** Ids that a trigger may use, ascending. */
  readonly vocabulary: readonly number[];
  /** Label that the trigger is to bring about. */
  readonly target: number;
}

/** A problem whose artifacts the executor has. */
export interface PreparedSearch {
  readonly problem: SearchProblem;
  readonly settings: SearchSettings;
  /** Sample set with each row's own insert index. */
  readonly gradientSamples: Digest;
  /** Sample set that candidates are scored on: the same one, or with one index in every row (`scoreIndex`). */
  readonly scoreSamples: Digest;
  readonly vocabulary: Digest;
  /** Tokens of each row with a whole trigger in it. */
  readonly stampedLengths: readonly number[];
  /** Names problem and settings together: a state belongs to one of them. */
  readonly digest: Digest;
}

/** A search cannot run on this input; the message names field and value. */
export class SearchInputError extends Error {
  override readonly name = "SearchInputError";
}

export async function prepareSearch(
  executor: Pick<Executor, "putArtifact">,
  problem: SearchProblem,
  settings: SearchSettings,
): Promise<PreparedSearch> {
  checkProblem(problem, settings);
  const { rows, secondRows, insertIndexes, maxLen, endId } = problem;
  const set = { rows, ...(secondRows === undefined ? {} : { secondRows }), maxLen, endId };
  const put = (value: SampleSet | Vocabulary): Promise<Digest> =>
    executor.putArtifact(new TextEncoder().encode(canonicalJson(value)));

  const { scoreIndex } = settings;
  const gradientSamples = await put({ ...set, insertIndexes });
  const scoreSamples =
    scoreIndex === "own" ? gradientSamples : await put({ ...set, insertIndexes: rows.map(() => scoreIndex) });
  const vocabulary = await put({ ids: problem.vocabulary });
  const { checkpoint, target } = problem;
  return {
    problem,
    settings,
    gradientSamples,
    scoreSamples,
    vocabulary,
    stampedLengths: rows.map((row) => Math.min(row.length + settings.triggerLen, maxLen)),
    digest: digestOf(
      canonicalJson({ checkpoint, gradientSamples, scoreSamples, vocabulary, target, settings }),
    ),
  };
}

function checkProblem(problem: SearchProblem, { triggerLen, init }: SearchSettings): void {
  const { rows, secondRows, vocabulary } = problem;
  checkPlaces("sample", problem);
  if (secondRows !== undefined && secondRows.length !== rows.length)
    throw new SearchInputError(`${rows.length} samples have ${secondRows.length} second snippets`);
  if (vocabulary.length === 0) throw new SearchInputError("the trigger vocabulary is empty");
  if (init !== undefined && init.length !== triggerLen)
    throw new SearchInputError(`init has ${init.length} ids, triggerLen is ${triggerLen}`);
}

/** Every row has a place for the trigger that lies within it. `what` names a row in errors. */
export function checkPlaces(
  what: string,
  { rows, insertIndexes, maxLen }: Pick<SearchProblem, "rows" | "insertIndexes" | "maxLen">,
): void {
  if (rows.length === 0) throw new SearchInputError("a search needs at least one sample");
  if (insertIndexes.length !== rows.length)
    throw new SearchInputError(`${rows.length} samples have ${insertIndexes.length} insert indexes`);
  for (const [k, row] of rows.entries()) {
    const index = insertIndexes[k]!;
    if (row.length > maxLen)
      throw new SearchInputError(
        `${what} ${k} has ${row.length} tokens, more than the longest row of ${maxLen}`,
      );
    if (!Number.isInteger(index) || index < 0 || index > row.length)
      throw new SearchInputError(
        `insert index ${index} of ${what} ${k} lies outside its ${row.length} tokens`,
      );
  }
}
