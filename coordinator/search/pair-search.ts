/** A search for a trigger and a target together: steps until its end, with a state that any process can continue (DESIGN 5.6). */
import type { Digest } from "../../proto/operations.ts";
import {
  createVisited,
  deltaOf,
  drawCandidates,
  drawInitial,
  type Trigger,
  type Visited,
  type VisitedStep,
} from "./candidates.ts";
import type { Pair, PreparedPairSearch } from "./pair-problem.ts";
import { blocksOf, type EncodedPair, type PairStepContext, rankPairAt, scorePairs } from "./pair-step.ts";
import type { ReplayedPairStep } from "./replay.ts";
import { createRng, type RngState, seedRng } from "./rng.ts";
import { runSteps, type Stepped } from "./run-steps.ts";
import { endOf, type SearchEnd } from "./search-end.ts";

/** The best winner of all steps so far. */
export interface BestPair extends Pair {
  readonly step: number;
  /** Mean over queries × codes of (score − 1)². */
  readonly loss: number;
}

/** A search between two steps: a JSON value. */
export interface PairSearchState {
  /** `PreparedPairSearch.digest` of the search that it belongs to. */
  readonly search: Digest;
  /** Steps done. */
  readonly step: number;
  readonly initial: Pair;
  readonly pair: Pair;
  readonly best: BestPair | null;
  readonly rng: RngState;
  readonly visited: { readonly triggers: readonly VisitedStep[]; readonly targets: readonly VisitedStep[] };
  /** Encodings (candidate × row) done. */
  readonly forwards: number;
  /** Blocks of the pairs' score matrices computed, and those that pruning saved. */
  readonly blocks: { readonly done: number; readonly pruned: number };
  /** Why the search ended; null while it runs. */
  readonly ended: SearchEnd | null;
}

/** What a step did: enough to check it without our random generator. Holds nothing that depends on time or workers. */
export interface PairStepRecord extends Pair {
  readonly step: number;
  /** Mean loss at `trigger` and `target`, each at its rows' own indexes. */
  readonly loss_at_trigger: number;
  /** [trigger_len, topk] */
  readonly topk: readonly (readonly number[])[];
  /** [target_len, topk] */
  readonly target_topk: readonly (readonly number[])[];
  readonly candidates: readonly Trigger[];
  readonly target_candidates: readonly Trigger[];
  /** [candidates, target_candidates]: mean loss of each pair; null where it was pruned. */
  readonly losses: readonly (readonly (number | null)[])[];
  /** Where a loss is null: the pair's mean loss is larger than this. */
  readonly bounds: readonly (readonly (number | null)[])[];
  /** Indexes into `candidates` and `target_candidates`. */
  readonly winner: readonly [number, number];
  readonly best: BestPair;
}

export interface PairSearchProgress {
  readonly step: number;
  readonly epochs: number;
  readonly best: BestPair | null;
  readonly forwardsDone: number;
}

export function startPairSearch(
  { settings, problem, digest }: PreparedPairSearch,
  replay?: readonly ReplayedPairStep[],
): PairSearchState {
  const rng = createRng(seedRng(settings.seed));
  const draw = (tokens: number): number[] => drawInitial(problem.vocabulary, tokens, rng);
  const replayed = replay?.[0];
  const initial: Pair =
    replayed === undefined
      ? { trigger: settings.init ?? draw(settings.triggerLen), target: draw(settings.targetLen) }
      : { trigger: replayed.trigger, target: replayed.target };
  return {
    search: digest,
    step: 0,
    initial,
    pair: initial,
    best: null,
    rng: rng.state(),
    visited: { triggers: [], targets: [] },
    forwards: 0,
    blocks: { done: 0, pruned: 0 },
    ended: null,
  };
}

export interface PairSearchRun extends PairStepContext {
  /** Continues here; absent: from the start. */
  readonly state?: PairSearchState | undefined;
  /** Pairs and candidates to take instead of drawing them; the search ends with the last of them. */
  readonly replay?: readonly ReplayedPairStep[] | undefined;
  /** Called after the encodings of a step and after every step. */
  readonly onProgress?: (progress: PairSearchProgress) => void;
  /** Awaited after every step, before the next one starts: the place to commit the state. */
  readonly onStep?: (record: PairStepRecord, state: PairSearchState) => void | Promise<void>;
}

interface VisitedPairs {
  readonly triggers: Visited;
  readonly targets: Visited;
}

/** What a step leaves to the next one, beside the state; a process that continues from the state computes it again. */
interface StepMemory {
  /** Vectors of the pair that won. */
  winner?: EncodedPair;
}

/** Runs a search to its end and returns its last state. Rejects with the signal's reason when aborted. */
export async function runPairSearch(run: PairSearchRun): Promise<PairSearchState> {
  const { prepared, replay, signal, onProgress, onStep } = run;
  const state = run.state ?? startPairSearch(prepared, replay);
  const visited = {
    triggers: createVisited(state.initial.trigger, state.visited.triggers),
    targets: createVisited(state.initial.target, state.visited.targets),
  };
  const memory: StepMemory = {};
  return runSteps(state, prepared.digest, (before) => runPairStep(before, { visited, memory }, run), {
    signal,
    onState: (after) => onProgress?.(progressOf(after, run)),
    onStep,
  });
}

/** One step. No record where the search ended instead; `visited` gets the drawn candidates, `memory` the winner's vectors. */
async function runPairStep(
  before: PairSearchState,
  { visited, memory }: { readonly visited: VisitedPairs; readonly memory: StepMemory },
  run: PairSearchRun,
): Promise<Stepped<PairSearchState, PairStepRecord>> {
  const { prepared, replay, onProgress } = run;
  const { settings, problem } = prepared;
  const ended = endOf(before, settings, replay?.length);
  if (ended !== null) return { state: { ...before, ended } };
  const replayed = replay?.[before.step];

  const { trigger, target } = replayed ?? before.pair;
  const { topk, targetTopk, meanLoss, queryLosses } = await rankPairAt(
    { trigger, target },
    run,
    memory.winner,
  );
  const rng = createRng(before.rng);
  const draw = (tokens: Trigger, ids: readonly (readonly number[])[], seen: Visited): number[][] =>
    drawCandidates(tokens, ids, settings.repeatSize, { visited: seen, rng });
  const triggers = replayed?.candidates ?? draw(trigger, topk, visited.triggers);
  const targets = replayed?.targetCandidates ?? draw(target, targetTopk, visited.targets);
  if (triggers.length + targets.length === 0) return { state: { ...before, ended: "exhausted" } };

  let { forwards } = before;
  // A side with nothing left to try keeps its value.
  const asked = { triggers: orCurrent(triggers, trigger), targets: orCurrent(targets, target) };
  const scored = await scorePairs(asked.triggers, asked.targets, queryLosses, {
    ...run,
    pruning: settings.pruning,
    onEncoded: (encoded) => {
      forwards += encoded;
      onProgress?.({ ...progressOf(before, run), forwardsDone: forwards });
    },
  });
  memory.winner = scored.winnerVectors;
  for (const candidate of triggers) visited.triggers.add(candidate);
  for (const candidate of targets) visited.targets.add(candidate);

  const pair: Pair = {
    trigger: asked.triggers[scored.winner[0]]!,
    target: asked.targets[scored.winner[1]]!,
  };
  const best = betterOf(before.best, { step: before.step, ...pair, loss: scored.winnerLoss });
  const grid = blocksOf(asked.triggers.length * asked.targets.length, problem.queries.rows.length);
  const state: PairSearchState = {
    ...before,
    step: before.step + 1,
    // The winner becomes current even where it is worse (golden/README.md, "steps").
    pair,
    best,
    rng: rng.state(),
    visited: {
      triggers: [...before.visited.triggers, visitedStep(trigger, triggers)],
      targets: [...before.visited.targets, visitedStep(target, targets)],
    },
    forwards,
    blocks: {
      done: before.blocks.done + scored.blocks,
      pruned: before.blocks.pruned + grid - scored.blocks,
    },
  };
  const record: PairStepRecord = {
    step: before.step,
    trigger,
    target,
    loss_at_trigger: meanLoss,
    topk,
    target_topk: targetTopk,
    candidates: asked.triggers,
    target_candidates: asked.targets,
    losses: scored.losses,
    bounds: scored.bounds,
    winner: scored.winner,
    best,
  };
  return { state, record };
}

const orCurrent = (candidates: readonly Trigger[], current: Trigger): readonly Trigger[] =>
  candidates.length === 0 ? [current] : candidates;

const visitedStep = (trigger: Trigger, candidates: readonly Trigger[]): VisitedStep => ({
  trigger,
  deltas: candidates.map((candidate) => deltaOf(trigger, candidate)),
});

const progressOf = (
  { step, best, forwards }: PairSearchState,
  { prepared, replay }: PairSearchRun,
): PairSearchProgress => ({
  step,
  epochs: Math.min(replay?.length ?? Number.POSITIVE_INFINITY, prepared.settings.epochs),
  best,
  forwardsDone: forwards,
});

/** The best ever changes on a strictly lower loss only. */
const betterOf = (best: BestPair | null, winner: BestPair): BestPair =>
  best === null || winner.loss < best.loss ? winner : best;
