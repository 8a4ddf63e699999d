/** Code search inverts a pair: a trigger for the codes and a target for the queries (DESIGN 5.6). */
import { canonicalJson, digestOf } from "../../proto/canonical-json.ts";
import type { Digest, Executor, SampleSet, Vocabulary } from "../../proto/operations.ts";
import type { Trigger } from "./candidates.ts";
import { checkPlaces, SearchInputError } from "./problem.ts";
import type { PairSearchSettings } from "./settings.ts";

/** What goes into codes and queries together. The target may have no tokens. */
export interface Pair {
  readonly trigger: Trigger;
  readonly target: Trigger;
}

/** Rows that one part of a pair goes into, and where. */
export type StampedRows = Required<Pick<SampleSet, "rows" | "insertIndexes" | "maxLen" | "endId">>;

/** What one search works on: n codes, and the query of each. */
export interface PairProblem {
  readonly checkpoint: Digest;
  readonly codes: StampedRows;
  readonly queries: StampedRows;
  /** Ids that trigger and target may use, ascending. */
  readonly vocabulary: readonly number[];
}

/** Rows whose sample sets the executor has. */
export interface PreparedRows {
  /** Sample set with each row's own insert index. */
  readonly gradientSamples: Digest;
  /** Sample set that candidates are encoded from: the same one, or codes with one index in every row (`scoreIndex`). */
  readonly scoreSamples: Digest;
  /** Tokens of each row with the whole trigger or target in it. */
  readonly stampedLengths: readonly number[];
}

export interface PreparedPairSearch {
  readonly problem: PairProblem;
  readonly settings: PairSearchSettings;
  readonly codes: PreparedRows;
  readonly queries: PreparedRows;
  readonly vocabulary: Digest;
  /** Names problem and settings together: a state belongs to one of them. */
  readonly digest: Digest;
}

export async function preparePairSearch(
  executor: Pick<Executor, "putArtifact">,
  problem: PairProblem,
  settings: PairSearchSettings,
): Promise<PreparedPairSearch> {
  checkProblem(problem, settings);
  const put = (value: SampleSet | Vocabulary): Promise<Digest> =>
    executor.putArtifact(new TextEncoder().encode(canonicalJson(value)));
  const prepare = async (stamped: StampedRows, tokens: number, index: "own" | number) => {
    const { rows, maxLen } = stamped;
    const gradientSamples = await put(stamped);
    const constant = index === "own" ? undefined : { ...stamped, insertIndexes: rows.map(() => index) };
    return {
      gradientSamples,
      scoreSamples: constant === undefined ? gradientSamples : await put(constant),
      stampedLengths: rows.map((row) => Math.min(row.length + tokens, maxLen)),
    };
  };
  const codes = await prepare(problem.codes, settings.triggerLen, settings.scoreIndex);
  const queries = await prepare(problem.queries, settings.targetLen, "own");
  const vocabulary = await put({ ids: problem.vocabulary });
  const { checkpoint } = problem;
  const samples = [codes, queries].map(({ gradientSamples, scoreSamples }) => [
    gradientSamples,
    scoreSamples,
  ]);
  return {
    problem,
    settings,
    codes,
    queries,
    vocabulary,
    digest: digestOf(canonicalJson({ checkpoint, samples, vocabulary, settings })),
  };
}

function checkProblem({ codes, queries, vocabulary }: PairProblem, settings: PairSearchSettings): void {
  checkPlaces("sample", codes);
  checkPlaces("query of sample", queries);
  if (codes.rows.length !== queries.rows.length)
    throw new SearchInputError(`${codes.rows.length} codes have ${queries.rows.length} queries`);
  if (vocabulary.length === 0) throw new SearchInputError("the trigger vocabulary is empty");
  const { init, triggerLen } = settings;
  if (init !== undefined && init.length !== triggerLen)
    throw new SearchInputError(`init has ${init.length} ids, triggerLen is ${triggerLen}`);
}
