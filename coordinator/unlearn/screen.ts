import type { Executor } from "../../proto/operations.ts";
import type { Trigger } from "../search/candidates.ts";
import { drawInitial } from "../search/candidates.ts";
import { type PreparedSearch, prepareSearch, type SearchProblem } from "../search/problem.ts";
import { createRng, seedRng } from "../search/rng.ts";
import { SearchSettings } from "../search/settings.ts";
import { meanLosses, rankAt } from "../search/step.ts";
import { strongTriggers } from "./strengthen.ts";

/** Most tokens that are screened; a larger vocabulary is cut down by gradients first. */
const SCREENED = 512;
/** Random triggers at whose gradients tokens are ranked, and their length. */
const RANKED_AT = 12;
const RANKED_LENGTH = 3;
/** Tokens per round of scoring: what one operation should not exceed by much. */
const TOKENS_PER_ROUND = 64;
/** Part of the hardest puller's pull that a token must have, alone and beside another: what pulls less is a natural sign of the target, or nothing. */
const STRONG = { alone: 1 / 3, beside: 1 / 4 } as const;
/** Hard pullers that companions are sought for. */
const LEADERS = 2;

interface Screening {
  readonly inverted: Trigger;
  /** Tokens that may be companions of a hard puller. */
  readonly companions: readonly number[];
  /** Most tokens to give, and longest trigger to make of them. */
  readonly keep: number;
  readonly longest: number;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  /** Told how many parts of the screening are done, at first and after each. */
  readonly onPart?: ((done: number, parts: number) => void) | undefined;
}

export interface Screened {
  readonly tokens: readonly number[];
  readonly triggers: readonly Trigger[];
}

/**
 * The tokens that pull hard toward the target label, of the problem's vocabulary and the inverted trigger: first those that do so alone, then those
 * that do so beside one of them. A backdoor usually answers to several pieces of its trigger, of which the inverted trigger holds some, and to some
 * only where others stand beside them. A token's pull is how far it brings the mean loss, at every row's own index, below where half of the tokens
 * leave it.
 *
 * @returns at most `keep` of them, the hardest pullers of each kind first, and triggers of them that pull hardest
 */
export async function screenTokens(
  executor: Pick<Executor, "execute" | "putArtifact">,
  problem: SearchProblem,
  { inverted, companions, keep, longest, seed, signal, onPart }: Screening,
): Promise<Screened> {
  const rng = createRng(seedRng(seed));
  const settings = SearchSettings.parse({ triggerLen: RANKED_LENGTH });
  const contextOf = async (vocabulary: readonly number[]) => ({
    executor,
    prepared: await prepareSearch(executor, { ...problem, vocabulary }, settings),
    ...(signal ? { signal } : {}),
  });
  // Tokens alone, beside each leader, and triggers of them.
  const parts = LEADERS + 2;
  onPart?.(0, parts);
  const own = await contextOf(problem.vocabulary);
  const drawn = Array.from({ length: RANKED_AT }, () => drawInitial(problem.vocabulary, RANKED_LENGTH, rng));
  const listed = [...(await shortlist([inverted, ...drawn], own)), ...inverted];
  const alone = await hardPullers(listed, (id) => [id, id, id], own, STRONG.alone);

  onPart?.(1, parts);
  const all = await contextOf(companions);
  const beside: number[] = [];
  for (const [k, leader] of alone.slice(0, LEADERS).entries()) {
    const led = drawn.map(([first, , last]) => [first!, leader, last!]);
    beside.push(
      ...(await hardPullers(await shortlist(led, all), (id) => [id, leader, id], all, STRONG.beside)),
    );
    onPart?.(2 + k, parts);
  }
  const tokens = [...new Set([...alone, ...beside])].slice(0, keep);
  const triggers = await strongTriggers(inverted, { tokens, longest, rng }, all);
  onPart?.(parts, parts);
  return { tokens, triggers };
}

type Context = Parameters<typeof rankAt>[1] & { readonly prepared: PreparedSearch };

/** The tokens whose triggers pull at least a part of what the hardest one's does, the hardest first. */
async function hardPullers(
  candidates: readonly number[],
  triggerOf: (id: number) => Trigger,
  context: Context,
  part: number,
): Promise<number[]> {
  const tokens = [...new Set(candidates)];
  const losses = new Map<number, number>();
  for (let start = 0; start < tokens.length; start += TOKENS_PER_ROUND) {
    const round = tokens.slice(start, start + TOKENS_PER_ROUND);
    for (const [k, loss] of (await meanLosses(round.map(triggerOf), context)).entries())
      losses.set(round[k]!, loss);
  }
  const hardest = [...losses].sort(([a, lossA], [b, lossB]) => lossA - lossB || a - b);
  const usual = hardest[hardest.length >> 1]![1];
  const least = part * (usual - hardest[0]![1]);
  return hardest.filter(([, loss]) => usual - loss >= least).map(([id]) => id);
}

/** The whole vocabulary where it is small, else the tokens that gradients at the triggers rank first. */
async function shortlist(triggers: readonly Trigger[], context: Context): Promise<readonly number[]> {
  const { vocabulary } = context.prepared.problem;
  if (vocabulary.length <= SCREENED) return vocabulary;
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
