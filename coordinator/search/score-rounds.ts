/** Rounds of tiles on the workers: what `rounds.ts` plans is executed, and losses go back into it. */
import type { ScoreOperation } from "../../proto/operations.ts";
import type { Trigger } from "./candidates.ts";
import { lossToward, predictedLabel } from "./loss.ts";
import type { PreparedSearch } from "./problem.ts";
import { logitRows } from "./results.ts";
import { absorb, type CandidateScore, planRound, type Scoring, winnerOf } from "./rounds.ts";
import { inForm } from "./settings.ts";
import type { StepContext } from "./step.ts";
import type { Tile } from "./tiles.ts";

export interface RoundsContext extends StepContext {
  /** Hears after each round how many forwards were done in it. */
  readonly onRound?: ((forwards: number) => void) | undefined;
}

/** Losses of a scoring's open candidates. */
export interface ScoredRounds {
  readonly scoring: Scoring;
  /** [candidates × samples]: 1 where the model answers with the target. */
  readonly answeredTarget: Uint8Array;
  readonly forwards: number;
}

/** Scores in rounds until no candidate is open. */
export async function runRounds(
  scoring: Scoring,
  candidates: readonly Trigger[],
  { executor, prepared, signal, onRound }: RoundsContext,
  precision: "fp32" | "fp16" = "fp32",
): Promise<ScoredRounds> {
  const { problem, settings } = prepared;
  const answeredTarget = new Uint8Array(scoring.losses.length);
  let current = scoring;
  let forwards = 0;
  for (;;) {
    const tiles = planRound(current);
    if (tiles.length === 0) return { scoring: current, answeredTarget, forwards };
    const results = await executor.execute(
      tiles.map((tile) => scoreOperation(tile, candidates, prepared, precision)),
      signal,
    );
    const losses = tiles.map((tile, t) =>
      logitRows(results[t]!, tile.candidates.length).map((logits, k) => {
        if (predictedLabel(logits) === problem.target)
          answeredTarget[tile.candidates[k]! * problem.rows.length + tile.sample] = 1;
        return lossToward(logits, problem.target, settings.loss);
      }),
    );
    current = absorb(current, tiles, losses);
    const done = tiles.reduce((sum, tile) => sum + tile.candidates.length, 0);
    forwards += done;
    onRound?.(done);
  }
}

export const scoreOperation = (
  tile: Tile,
  triggers: readonly Trigger[],
  prepared: PreparedSearch,
  precision: "fp32" | "fp16" = "fp32",
): ScoreOperation => ({
  kind: "score",
  checkpoint: prepared.problem.checkpoint,
  samples: prepared.scoreSamples,
  sample: tile.sample,
  triggers: tile.candidates.map((candidate) => triggers[candidate]!),
  // In half precision the form is the primitive one: what is chosen, is chosen in the plan's own form.
  ...(precision === "fp16" ? { precision } : inForm(prepared.settings.programForm)),
});

/** Losses of a step's candidates. */
export interface ScoredCandidates {
  readonly scores: readonly CandidateScore[];
  /** Index of the lowest total, ties to the lower index. */
  readonly winner: number;
  readonly winnerLoss: number;
  /** Share of the samples that the model answers with the target under the winner. */
  readonly winnerRate: number;
  /** Forwards (candidate × sample) that were run, and those of the grid that never were. */
  readonly forwards: number;
  readonly pruned: number;
  /** Where candidates were scored in half precision first. */
  readonly half?: HalfStep;
}

/** What half precision did in a step. */
export interface HalfStep {
  /** The candidate with the lowest total in half precision is another one than the winner. */
  readonly disagrees: boolean;
  /** Forwards in single precision: the current trigger, and candidates that half precision did not exclude. */
  readonly rescored: number;
  /** What a loss may be off by, in nats: the measured error with its safety factor. */
  readonly slack: number;
}

/** The winner of scores, with its rate from what was answered in the same precision. */
export function winnerAmong(
  scores: readonly CandidateScore[],
  answeredTarget: Uint8Array,
): Pick<ScoredCandidates, "scores" | "winner" | "winnerLoss" | "winnerRate"> {
  const winner = winnerOf(scores);
  const score = scores[winner];
  if (score?.kind !== "complete") throw new Error("a step needs at least one candidate");
  const samples = answeredTarget.length / scores.length;
  const hits = answeredTarget
    .subarray(winner * samples, (winner + 1) * samples)
    .reduce((sum, hit) => sum + hit, 0);
  return { scores, winner, winnerLoss: score.mean, winnerRate: hits / samples };
}
