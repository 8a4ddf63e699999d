/**
 * Sample-specific trigger position (paper section "sample-specific trigger position identification"; DESIGN 5.2): the
 * variable whose masking leaves the lowest probability of the target label (in code search: the lowest score against the row's own
 * query) says where the trigger goes.
 */
export type PositionHalf = "first_half" | "second_half";

/** `lowest`: the rule of DESIGN 5.2. `published`: what the published code does (see `insertIndex`). */
export type PositionRule = "lowest" | "published";

/** One variable of a row, with what the model says when every occurrence of it is masked. */
export interface MaskedScore {
  readonly name: string;
  /** Index of the first occurrence among the code tokens (words). */
  readonly word: number;
  /** Index of the first sub-token of the first occurrence in the row, its first token included. */
  readonly subToken: number;
  /** What the masking leaves: the probability of the target label; in code search the score against the row's own query. */
  readonly score: number;
}

export interface PositionOptions {
  readonly rule: PositionRule;
  readonly half: PositionHalf;
  /** Longest row after stamping, in tokens. */
  readonly maxLen: number;
  readonly triggerLen: number;
  /** Tokens of the row, both end tokens included. */
  readonly rowLength: number;
  /** Label that the search pulls toward; with `sigmoid` it decides which way round the published rule looks. Code search has none. */
  readonly target?: number;
  /** True for a head with one logit. */
  readonly sigmoid?: boolean;
}

export interface Position {
  readonly insertIndex: number;
  /** The variable that decided; absent where none was eligible. */
  readonly variable?: string;
}

/**
 * Where the trigger goes into a row. `variables` come in the order of their first occurrence; ties go to the first.
 *
 * `published` differs in three ways, as the published code does: it looks at all variables and falls back afterwards if
 * the chosen one lies outside the half; for a sigmoid head it takes the largest p(1) whatever the target; and it uses the
 * word's index as a sub-token index.
 */
export function insertIndex(variables: readonly MaskedScore[], options: PositionOptions): Position {
  const { rule } = options;
  const indexOf = (v: MaskedScore): number => (rule === "published" ? v.word : v.subToken);
  const eligible = (v: MaskedScore): boolean => inHalf(indexOf(v), options);

  const largestFirst = rule === "published" && options.sigmoid === true && options.target === 1;
  const sign = largestFirst ? -1 : 1;
  const considered = rule === "published" ? variables : variables.filter(eligible);
  let chosen = considered[0];
  for (const v of considered) if (sign * v.score < sign * chosen!.score) chosen = v;

  if (chosen === undefined || !eligible(chosen)) return { insertIndex: fallback(options) };
  return { insertIndex: indexOf(chosen), variable: chosen.name };
}

function inHalf(index: number, { half, maxLen, triggerLen }: PositionOptions): boolean {
  const middle = maxLen / 2;
  return half === "first_half"
    ? index > 0 && index <= middle
    : index > middle && index <= maxLen - 1 - triggerLen;
}

function fallback({ half, maxLen, triggerLen, rowLength }: PositionOptions): number {
  return half === "first_half" ? 1 : Math.min(rowLength - 1, maxLen - 1 - triggerLen);
}
