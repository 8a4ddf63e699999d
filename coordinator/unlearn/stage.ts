import { chance, pick, type Rng } from "../search/rng.ts";
import type { HeldBackScore } from "./held-back.ts";
import type { Group, Material } from "./material.ts";
import type { UnlearningStep } from "./problem.ts";

/** A look at the model during a stage. */
export interface StagePoint {
  /** Optimiser steps done. */
  readonly step: number;
  /** How much of the way from the unrepaired weights was gone; absent: all of it. */
  readonly part?: number;
  readonly score: HeldBackScore;
}

/** One rung of the automatic plan's ladder, tried. */
export interface StageOutcome {
  readonly points: readonly StagePoint[];
  /** The point whose weights these are. */
  readonly kept: StagePoint;
  /** New values of the weights that changed, by tensor name. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly steps: readonly UnlearningStep[];
  /** Steps taken before the training diverged, those after the kept point too; undefined where it did not. */
  readonly divergedAfter?: number | undefined;
}

/** How a stage is run. */
export interface StageRun {
  /** False: rows with a trigger are replaced by the same rows without, which says what the training does by itself. */
  readonly injected: boolean;
}

/** Rows of several groups as one. */
export const joined = (groups: readonly Group[]): Group => ({
  clean: groups.flatMap(({ clean }) => clean),
  triggered: groups.flatMap(({ triggered }) => triggered),
});

/** All groups but one. */
export const without = <T>(groups: readonly T[], held: number): T[] => groups.filter((_, g) => g !== held);

/** Chance that a clean row of a batch is a sample and not a variant. */
const SAMPLES = 0.5;

/** Draws clean rows: samples half of the time. */
export function cleanDrawer({ rows }: Material, { clean }: Group, rng: Rng): () => number {
  const samples = clean.filter((row) => rows[row]!.isSample);
  return () => pick(rng, samples.length > 0 && chance(rng, SAMPLES) ? samples : clean);
}

/** The row itself, or in a control the row that its trigger went into. */
export const injectedRow = ({ rows }: Material, row: number, { injected }: StageRun): number =>
  injected ? row : rows[row]!.trigger!.base;
