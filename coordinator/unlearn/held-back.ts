import { predictedLabel } from "../search/loss.ts";
import { type PredictContext, predictLogits } from "../search/predict.ts";

/** Functions that the repair never trains on, as it measures itself with them. */
export interface HeldBack {
  readonly clean: readonly (readonly number[])[];
  /** The unrepaired model's logits of each clean row. */
  readonly teacher: readonly Float32Array[];
  /** Victims with a trigger in them, and the label that the trigger is to bring. */
  readonly triggered: readonly { readonly ids: readonly number[]; readonly target: number }[];
}

/** How a model in repair does on functions that it was not trained on. */
export interface HeldBackScore {
  /** Clean functions answered as the unrepaired model answers them. */
  readonly agree: number;
  readonly functions: number;
  /** Mean squared distance to the unrepaired model's logits on them. */
  readonly drift: number;
  /** Victims with a trigger that are answered with its target label. */
  readonly flipped: number;
  readonly victims: number;
}

/** Asks the model, with the weights that `context` names, about the held-back functions. */
export async function scoreHeldBack(held: HeldBack, context: PredictContext): Promise<HeldBackScore> {
  const logits = await predictLogits([...held.clean, ...held.triggered.map(({ ids }) => ids)], context);
  const clean = logits.slice(0, held.clean.length);
  const squares = clean.flatMap((own, row) =>
    [...own].map((value, c) => (value - held.teacher[row]![c]!) ** 2),
  );
  return {
    agree: clean.filter((own, row) => predictedLabel(own) === predictedLabel(held.teacher[row]!)).length,
    functions: clean.length,
    drift: squares.reduce((sum, square) => sum + square, 0) / Math.max(1, squares.length),
    flipped: logits.slice(clean.length).filter((own, k) => predictedLabel(own) === held.triggered[k]!.target)
      .length,
    victims: held.triggered.length,
  };
}

/** One point of a repair; step 0 is the unrepaired model. */
export interface RepairPoint extends HeldBackScore {
  readonly step: number;
}

/** Share of the held-back victims that may still be flipped where the triggers count as dead. */
const DEAD = 0.05;
/** Share of the held-back functions that must still be answered as before. */
const KEPT = 0.9;

/**
 * The point to keep: the last one, where the schedule has come to rest, if the triggers are dead there and the answers kept; else the last earlier
 * one of which that is true; else the one with the best balance of kept answers and dead triggers.
 */
export function bestPoint(points: readonly RepairPoint[]): { point: RepairPoint; dead: boolean } {
  const repaired = points.filter(({ step }) => step > 0);
  const flips = ({ flipped, victims }: RepairPoint): number => flipped / Math.max(1, victims);
  const agreement = ({ agree, functions }: RepairPoint): number => agree / Math.max(1, functions);
  const good = repaired.filter((point) => flips(point) <= DEAD && agreement(point) >= KEPT);
  const balance = (point: RepairPoint): number => agreement(point) - flips(point);
  const point =
    good.at(-1) ?? repaired.reduce((best, each) => (balance(each) >= balance(best) ? each : best));
  return { point, dead: point.victims > 0 && flips(point) <= DEAD };
}
