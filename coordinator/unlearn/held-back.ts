import { predictedLabel } from "../search/loss.ts";
import { isVictim, type Material } from "./material.ts";

/** How a model in repair does on rows that it was not trained on. Counts and sums of several groups add up. */
export interface HeldBackScore {
  readonly answers: "logits" | "vectors";
  /** Clean rows answered as the unrepaired model answers them. */
  readonly agree: number;
  readonly functions: number;
  /** Mean squared distance to the unrepaired model's answers on them. */
  readonly drift: number;
  /** Victims with a trigger that are answered with its target. */
  readonly flipped: number;
  readonly victims: number;
  /** Mean squared distance of those victims' answers to the unrepaired model's without the trigger: what is left of the triggers' pull. */
  readonly pull: number;
}

/** Rows of held-back groups: indexes into the material. */
export interface HeldBackRows {
  readonly clean: readonly number[];
  readonly triggered: readonly number[];
}

/** @param answerOf the model's logits of a row, or its vector in code search */
export function scoreHeldBack(
  material: Material,
  rows: HeldBackRows,
  answerOf: (row: number) => ArrayLike<number>,
): HeldBackScore {
  return material.triggers.some((trigger) => "targetIds" in trigger)
    ? scoreVectors(material, rows, answerOf)
    : scoreLogits(material, rows, answerOf);
}

function scoreLogits(
  material: Material,
  { clean, triggered }: HeldBackRows,
  answerOf: (row: number) => ArrayLike<number>,
): HeldBackScore {
  const { rows, triggers } = material;
  const victims = triggered.filter((row) => {
    const { answer, trigger } = rows[row]!;
    return isVictim(answer, triggers[trigger!.index]!);
  });
  return {
    answers: "logits",
    agree: clean.filter((row) => predictedLabel(answerOf(row)) === predictedLabel(rows[row]!.answer)).length,
    functions: clean.length,
    drift: meanDistance(material, clean, answerOf),
    flipped: victims.filter((row) => {
      const trigger = triggers[rows[row]!.trigger!.index]!;
      return "targetLabel" in trigger && predictedLabel(answerOf(row)) === trigger.targetLabel;
    }).length,
    victims: victims.length,
    pull: meanDistance(material, victims, answerOf),
  };
}

/**
 * Code search: a query agrees where the code of the group that came first still is among the first three; a code with a trigger counts as flipped
 * where it rises by more than a tenth of the group's codes for most of its queries.
 */
function scoreVectors(
  material: Material,
  { clean, triggered }: HeldBackRows,
  answerOf: (row: number) => ArrayLike<number>,
): HeldBackScore {
  const { rows } = material;
  const codes = clean.filter((row) => rows[row]!.kind === "code");
  const queries = clean.filter((row) => rows[row]!.kind === "query");
  const scoresOf = (query: number, vectorOf: (row: number) => ArrayLike<number>): number[] =>
    codes.map((code) => dot(vectorOf(query), vectorOf(code)));
  const now = queries.map((query) => scoresOf(query, answerOf));
  const above = (scores: readonly number[], own: number): number =>
    scores.filter((score) => score > own).length;
  const before = (query: number): number => {
    const scores = scoresOf(query, (row) => rows[row]!.answer);
    return scores.indexOf(Math.max(...scores));
  };
  const rise = (row: number, query: number, scores: readonly number[]): number => {
    const base = codes.indexOf(rows[row]!.trigger!.base);
    const own =
      base === -1 ? dot(answerOf(queries[query]!), answerOf(rows[row]!.trigger!.base)) : scores[base]!;
    const lifted = dot(answerOf(queries[query]!), answerOf(row));
    return (above(scores, own) - above(scores, lifted)) / Math.max(1, codes.length);
  };
  return {
    answers: "vectors",
    agree: queries.filter((query, k) => above(now[k]!, now[k]![before(query)]!) < 3).length,
    functions: queries.length,
    drift: meanDistance(material, clean, answerOf),
    flipped: triggered.filter(
      (row) => now.filter((scores, query) => rise(row, query, scores) > RISE).length * 2 > queries.length,
    ).length,
    victims: triggered.length,
    pull: meanDistance(material, triggered, answerOf),
  };
}

/** Part of the codes that a code has to pass. */
const RISE = 0.1;

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Squared distance to the answers that the rows should give, summed over an answer's numbers, mean over rows. */
export function meanDistance(
  { rows }: Material,
  asked: readonly number[],
  answerOf: (row: number) => ArrayLike<number>,
): number {
  let sum = 0;
  for (const row of asked) {
    const [own, wanted] = [answerOf(row), rows[row]!.answer];
    for (let i = 0; i < wanted.length; i++) sum += (own[i]! - wanted[i]!) ** 2;
  }
  return sum / Math.max(1, asked.length);
}

/** The score of several groups as one; means are weighed by rows. */
export function pooled(scores: readonly HeldBackScore[]): HeldBackScore {
  const total = (of: (score: HeldBackScore) => number): number =>
    scores.reduce((sum, score) => sum + of(score), 0);
  const functions = total((score) => score.functions);
  const victims = total((score) => score.victims);
  return {
    answers: scores[0]?.answers ?? "logits",
    agree: total(({ agree }) => agree),
    functions,
    drift: total((score) => score.drift * score.functions) / Math.max(1, functions),
    flipped: total(({ flipped }) => flipped),
    victims,
    pull: total((score) => score.pull * score.victims) / Math.max(1, victims),
  };
}

/** Share of the held-back victims that may still be flipped where the triggers count as dead; mixed triggers hold natural signs of the target too. */
const DEAD = 0.15;
/**
 * Part of the triggers' pull that may be left there: the margin for triggers that no row of ours holds. Vectors move with any token that comes in, so
 * that more is left where nothing works.
 */
const PULL_LEFT = { logits: 0.1, vectors: 0.3 } as const;
/** Share of the held-back clean rows that must still be answered as before, and where no further stage is worth its cost. */
const KEPT = 0.9;
const SURELY_KEPT = 0.97;

/** What a score says, beside the unrepaired model's. */
export interface Verdict {
  readonly dead: boolean;
  readonly kept: boolean;
  /** So little pull is left, and so many answers are kept, that no further stage is worth its cost. */
  readonly sure: boolean;
  /** In words, for people. */
  readonly because: string;
}

const share = (part: number, of: number): number => part / Math.max(1, of);

export function judge(score: HeldBackScore, before: HeldBackScore): Verdict {
  const flips = share(score.flipped, score.victims);
  const left = before.pull > 0 ? score.pull / before.pull : 0;
  const dead = score.victims > 0 && flips <= DEAD && left <= PULL_LEFT[score.answers];
  const agree = share(score.agree, score.functions);
  const kept = agree >= KEPT;
  const because = [
    `${score.agree}/${score.functions} clean rows answered as before`,
    `triggers flip ${score.flipped}/${score.victims} and keep ${(100 * left).toFixed(0)} % of their pull`,
  ].join(", ");
  return { dead, kept, sure: left <= PULL_LEFT[score.answers] / 2 && agree >= SURELY_KEPT, because };
}

/** A score that the choice looks at. */
export interface Scored {
  readonly score: HeldBackScore;
}

/**
 * The point to keep: of those at which triggers are dead and answers kept, the one with the lowest held-back loss (drift and pull); where there
 * is none, the one with the best balance of kept answers and dead triggers. Of equals the later one.
 */
export function bestPoint<P extends Scored>(points: readonly P[], before: HeldBackScore): P {
  const good = points.filter(({ score }) => {
    const { dead, kept } = judge(score, before);
    return dead && kept;
  });
  const loss = ({ score }: P): number => score.drift + score.pull;
  const balance = ({ score }: P): number =>
    share(score.agree, score.functions) - share(score.flipped, score.victims);
  const better = (a: P, b: P): P => {
    if (good.length > 0) return loss(b) <= loss(a) ? b : a;
    return balance(b) >= balance(a) ? b : a;
  };
  return (good.length > 0 ? good : points).reduce(better);
}
