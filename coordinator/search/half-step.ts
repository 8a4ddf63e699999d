/** A step's candidates in half precision, and near ties in single precision: `near-ties.ts` decides. */
import type { Trigger } from "./candidates.ts";
import { lossToward } from "./loss.ts";
import { compare, mergedScores, notExcluded, only, slackFrom } from "./near-ties.ts";
import { logitRows } from "./results.ts";
import { finishScoring, type Scoring, winnerOf } from "./rounds.ts";
import {
  type RoundsContext,
  runRounds,
  type ScoredCandidates,
  scoreOperation,
  winnerAmong,
} from "./score-rounds.ts";

/**
 * Scores candidates in half precision, and again in single precision those that this does not exclude. The winner and its loss are those of
 * scoring everything in single precision, as long as no loss is off by more than the measured error times its safety factor.
 *
 * @param start no candidate scored
 * @param current the trigger whose losses measure the error
 */
export async function scoreInHalf(
  start: Scoring,
  candidates: readonly Trigger[],
  current: Trigger,
  context: RoundsContext,
): Promise<ScoredCandidates> {
  const { prepared, onRound } = context;
  const samples = prepared.problem.rows.length;
  const slack = await measuredSlack(current, context);
  onRound?.(2 * samples);

  const first = await runRounds({ ...start, slack }, candidates, context, "fp16");
  let half = first.scoring;
  let wanted: ReadonlySet<number> = notExcluded(half);
  let single = only(start, wanted);
  const answeredTarget = new Uint8Array(start.losses.length);
  let rescored = samples;
  for (;;) {
    const rounds = await runRounds(single, candidates, context);
    if (rounds.forwards === 0) break;
    rescored += rounds.forwards;
    for (const [k, answered] of rounds.answeredTarget.entries()) answeredTarget[k]! |= answered;
    ({ half, single, wanted } = compare(half, rounds.scoring, wanted));
  }
  const chosen = winnerAmong(mergedScores(finishScoring(single), half, wanted), answeredTarget);
  return {
    ...chosen,
    forwards: samples + first.forwards + rescored,
    pruned: start.losses.length - first.forwards,
    half: {
      disagrees: winnerOf(finishScoring(first.scoring)) !== chosen.winner,
      rescored,
      slack: half.slack,
    },
  };
}

/** What a loss in half precision may be off by, from the current trigger's on all samples. */
async function measuredSlack(current: Trigger, context: RoundsContext): Promise<number> {
  const { executor, prepared, signal } = context;
  const { problem, settings } = prepared;
  const inPrecision = (precision: "fp32" | "fp16") =>
    problem.rows.map((_, sample) =>
      scoreOperation({ sample, candidates: [0] }, [current], prepared, precision),
    );
  const results = await executor.execute([...inPrecision("fp16"), ...inPrecision("fp32")], signal);
  const losses = results.map((result) => lossToward(logitRows(result, 1)[0]!, problem.target, settings.loss));
  return slackFrom(losses.slice(0, problem.rows.length), losses.slice(problem.rows.length));
}
