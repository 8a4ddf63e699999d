/** A search: steps until its end, with a state that any process can continue (DESIGN section 5). */
import type { Digest, Executor } from "../../proto/operations.ts";
import {
  createVisited,
  deltaOf,
  drawCandidates,
  drawInitial,
  type Trigger,
  type Visited,
  type VisitedStep,
} from "./candidates.ts";
import type { PreparedSearch } from "./problem.ts";
import type { ReplayedStep } from "./replay.ts";
import { createRng, type RngState, seedRng } from "./rng.ts";
import { runSteps, type Stepped } from "./run-steps.ts";
import type { HalfStep } from "./score-rounds.ts";
import { endOf, type SearchEnd } from "./search-end.ts";
import { rankAt, type StepContext, scoreCandidates } from "./step.ts";

/** The best winner of all steps so far. */
export interface Best {
  readonly step: number;
  readonly trigger: Trigger;
  /** Mean loss over the search's samples, in nats. */
  readonly loss: number;
  /** Share of the search's samples that the model answers with the target. */
  readonly rate: number;
}

/** A search between two steps: a JSON value. */
export interface SearchState {
  /** `PreparedSearch.digest` of the search that it belongs to. */
  readonly search: Digest;
  /** Steps done. */
  readonly step: number;
  readonly initial: Trigger;
  readonly trigger: Trigger;
  readonly best: Best | null;
  readonly rng: RngState;
  readonly visited: readonly VisitedStep[];
  /** Forwards (candidate × sample) scored, and those that pruning saved. */
  readonly forwards: { readonly done: number; readonly pruned: number };
  /** Where candidates are scored in half precision first: what that did so far. */
  readonly half?: HalfCounts;
  /** Why the search ended; null while it runs. */
  readonly ended: SearchEnd | null;
}

/** What half precision did in the steps of a search. */
export interface HalfCounts {
  /** Steps whose lowest total in half precision was not the winner's. */
  readonly disagreed: number;
  /** Forwards in single precision, to measure the error and for near ties. */
  readonly rescored: number;
  /** The most that a loss was taken to be off by, in nats. */
  readonly largest_slack: number;
}

/** What a step did: enough to check it without our random generator. Holds nothing that depends on time or workers. */
export interface StepRecord {
  readonly step: number;
  readonly trigger: Trigger;
  /** Mean loss at `trigger`, from the gradient pass (at each sample's own index). */
  readonly loss_at_trigger: number;
  /** [trigger_len, topk] */
  readonly topk: readonly (readonly number[])[];
  readonly candidates: readonly Trigger[];
  /** Mean loss of each candidate; null where it was pruned. */
  readonly losses: readonly (number | null)[];
  /** Where a loss is null: the candidate's mean loss is larger than this. */
  readonly bounds: readonly (number | null)[];
  readonly winner: number;
  readonly best: Best;
}

export interface SearchProgress {
  readonly step: number;
  readonly epochs: number;
  readonly best: Best | null;
  readonly forwardsDone: number;
  readonly forwardsPruned: number;
}

export function startSearch(prepared: PreparedSearch, replay?: readonly ReplayedStep[]): SearchState {
  const { settings, problem, digest } = prepared;
  const rng = createRng(seedRng(settings.seed));
  const initial =
    replay?.[0]?.trigger ?? settings.init ?? drawInitial(problem.vocabulary, settings.triggerLen, rng);
  return {
    search: digest,
    step: 0,
    initial,
    trigger: initial,
    best: null,
    rng: rng.state(),
    visited: [],
    forwards: { done: 0, pruned: 0 },
    ended: null,
  };
}

export interface SearchRun {
  readonly executor: Pick<Executor, "execute">;
  readonly prepared: PreparedSearch;
  /** Continues here; absent: from the start. */
  readonly state?: SearchState | undefined;
  /** Triggers and candidates to take instead of drawing them; the search ends with the last of them. */
  readonly replay?: readonly ReplayedStep[];
  readonly signal?: AbortSignal;
  /** Called after every round of tiles and after every step. */
  readonly onProgress?: (progress: SearchProgress) => void;
  /** Awaited after every step, before the next one starts: the place to commit the state. */
  readonly onStep?: (record: StepRecord, state: SearchState) => void | Promise<void>;
}

/** Runs a search to its end and returns its last state. Rejects with the signal's reason when aborted. */
export async function runSearch(run: SearchRun): Promise<SearchState> {
  const { prepared, replay, signal, onProgress, onStep } = run;
  const state = run.state ?? startSearch(prepared, replay);
  const visited = createVisited(state.initial, state.visited);
  return runSteps(state, prepared.digest, (before) => runStep(before, visited, run), {
    signal,
    onState: (after) => onProgress?.(progressOf(after, run)),
    onStep,
  });
}

/** One step. No record where the search ended instead; `visited` gets the drawn candidates. */
export async function runStep(
  before: SearchState,
  visited: Visited,
  run: SearchRun,
): Promise<Stepped<SearchState, StepRecord>> {
  const { executor, prepared, replay, signal, onProgress } = run;
  const { settings } = prepared;
  const ended = endOf(before, settings, replay?.length);
  if (ended !== null) return { state: { ...before, ended } };
  const replayed = replay?.[before.step];

  const context: StepContext = { executor, prepared, signal };
  const trigger = replayed?.trigger ?? before.trigger;
  const { topk, sampleLosses, meanLoss } = await rankAt(trigger, context);
  const rng = createRng(before.rng);
  const candidates =
    replayed?.candidates ?? drawCandidates(trigger, topk, settings.repeatSize, { visited, rng });
  if (candidates.length === 0) return { state: { ...before, ended: "exhausted" } };

  let done = before.forwards.done;
  const scored = await scoreCandidates(
    candidates,
    { trigger, sampleLosses },
    {
      ...context,
      onRound: (forwards) => {
        done += forwards;
        onProgress?.({ ...progressOf(before, run), forwardsDone: done });
      },
    },
  );
  for (const candidate of candidates) visited.add(candidate);

  const { winner, winnerLoss, winnerRate, scores, pruned } = scored;
  const best = betterOf(before.best, {
    step: before.step,
    trigger: candidates[winner]!,
    loss: winnerLoss,
    rate: winnerRate,
  });
  const state: SearchState = {
    ...before,
    step: before.step + 1,
    // The winner becomes current even where it is worse (golden/README.md, "steps").
    trigger: candidates[winner]!,
    best,
    rng: rng.state(),
    visited: [
      ...before.visited,
      { trigger, deltas: candidates.map((candidate) => deltaOf(trigger, candidate)) },
    ],
    forwards: { done, pruned: before.forwards.pruned + pruned },
    ...(scored.half && { half: withHalfStep(before.half, scored.half) }),
  };
  const record: StepRecord = {
    step: before.step,
    trigger,
    loss_at_trigger: meanLoss,
    topk,
    candidates,
    losses: scores.map((score) => (score.kind === "complete" ? score.mean : null)),
    bounds: scores.map((score) => (score.kind === "pruned" ? score.bound : null)),
    winner,
    best,
  };
  return { state, record };
}

const withHalfStep = (before: HalfCounts | undefined, step: HalfStep): HalfCounts => ({
  disagreed: (before?.disagreed ?? 0) + Number(step.disagrees),
  rescored: (before?.rescored ?? 0) + step.rescored,
  largest_slack: Math.max(before?.largest_slack ?? 0, step.slack),
});

const progressOf = (
  { step, best, forwards }: SearchState,
  { prepared, replay }: SearchRun,
): SearchProgress => ({
  step,
  epochs: Math.min(replay?.length ?? Number.POSITIVE_INFINITY, prepared.settings.epochs),
  best,
  forwardsDone: forwards.done,
  forwardsPruned: forwards.pruned,
});

/** The best ever changes on a strictly lower loss only. */
const betterOf = (best: Best | null, winner: Best): Best =>
  best === null || winner.loss < best.loss ? winner : best;
