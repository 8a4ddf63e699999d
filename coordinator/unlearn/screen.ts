import type { Executor } from "../../proto/operations.ts";
import type { Trigger } from "../search/candidates.ts";
import { drawInitial } from "../search/candidates.ts";
import { type PreparedSearch, prepareSearch, type SearchProblem } from "../search/problem.ts";
import { createRng, seedRng } from "../search/rng.ts";
import { SearchSettings } from "../search/settings.ts";
import { meanLosses, rankAt } from "../search/step.ts";

/** Occurrences of a token by which it is screened. */
const REPEATS = 3;
/** Most tokens that are screened; a larger vocabulary is cut down by gradients first. */
const SCREENED = 512;
/** Random triggers at whose gradients tokens are ranked, beside the inverted trigger. */
const RANKED_AT = 6;
/** Tokens per round of scoring: what one operation should not exceed by much. */
const TOKENS_PER_ROUND = 64;
/** Part of the hardest puller's pull that a token must have: what pulls less is a natural sign of the target, or nothing. */
const STRONG = 1 / 3;

/**
 * The tokens that alone pull hard toward the target label: a backdoor usually answers to several pieces of its trigger, of which the
 * inverted trigger holds some. Its tokens and those of the vocabulary are scored, each three times over at every row's own index; a
 * token's pull is how far it brings the loss below where half of the tokens leave it.
 *
 * @returns at most `keep` ids, the hardest pullers first
 */
export async function screenTokens(
  executor: Pick<Executor, "execute" | "putArtifact">,
  problem: SearchProblem,
  {
    inverted,
    keep,
    seed,
    signal,
  }: {
    readonly inverted: Trigger;
    readonly keep: number;
    readonly seed: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<number[]> {
  const settings = SearchSettings.parse({ triggerLen: inverted.length });
  const prepared = await prepareSearch(executor, problem, settings);
  const context = { executor, prepared, ...(signal ? { signal } : {}) };
  const listed = await shortlist(prepared, context, { inverted, seed });
  const tokens = [...new Set([...listed, ...inverted])];
  const losses: number[] = [];
  for (let start = 0; start < tokens.length; start += TOKENS_PER_ROUND) {
    const round = tokens.slice(start, start + TOKENS_PER_ROUND);
    const triggers = round.map((id) => Array.from({ length: REPEATS }, () => id));
    losses.push(...(await meanLosses(triggers, context)));
  }
  const hardest = [...tokens.keys()].sort((a, b) => losses[a]! - losses[b]! || tokens[a]! - tokens[b]!);
  const usual = losses[hardest[hardest.length >> 1]!]!;
  const pull = (k: number): number => usual - losses[k]!;
  return hardest
    .filter((k) => pull(k) >= STRONG * pull(hardest[0]!))
    .slice(0, keep)
    .map((k) => tokens[k]!);
}

/** The whole vocabulary where it is small, else the tokens that gradients at several triggers rank first. */
async function shortlist(
  { problem }: PreparedSearch,
  context: Parameters<typeof rankAt>[1],
  { inverted, seed }: { readonly inverted: Trigger; readonly seed: number },
): Promise<readonly number[]> {
  if (problem.vocabulary.length <= SCREENED) return problem.vocabulary;
  const rng = createRng(seedRng(seed));
  const triggers = [
    inverted,
    ...Array.from({ length: RANKED_AT }, () => drawInitial(problem.vocabulary, inverted.length, rng)),
  ];
  const bestRank = new Map<number, number>();
  for (const trigger of triggers) {
    const { topk } = await rankAt(trigger, context);
    for (const ids of topk) {
      for (const [rank, id] of ids.entries()) bestRank.set(id, Math.min(bestRank.get(id) ?? rank, rank));
    }
  }
  return [...bestRank]
    .sort(([a, rankA], [b, rankB]) => rankA - rankB || a - b)
    .slice(0, SCREENED)
    .map(([id]) => id);
}
