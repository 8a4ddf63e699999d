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

/**
 * The tokens that alone pull hardest toward the target label: a backdoor usually answers to several pieces of its trigger, of which the
 * inverted trigger holds some. Each token is scored three times over at every row's own index.
 *
 * @returns ids, the hardest pullers first
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
  const tokens = await shortlist(prepared, context, { inverted, seed });
  const losses: number[] = [];
  for (let start = 0; start < tokens.length; start += TOKENS_PER_ROUND) {
    const round = tokens.slice(start, start + TOKENS_PER_ROUND);
    const triggers = round.map((id) => Array.from({ length: REPEATS }, () => id));
    losses.push(...(await meanLosses(triggers, context)));
  }
  return [...tokens.keys()]
    .sort((a, b) => losses[a]! - losses[b]! || tokens[a]! - tokens[b]!)
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
