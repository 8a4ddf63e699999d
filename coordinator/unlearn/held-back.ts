import { predictedLabel } from "../search/loss.ts";
import { type PredictContext, predictLogits } from "../search/predict.ts";

/** Rows that the repair never trains on, as it measures itself with them. */
export interface HeldBackRows {
  readonly ids: readonly (readonly number[])[];
  readonly labels: readonly number[];
  /** The unrepaired model's logits of each row. */
  readonly teacher: readonly Float32Array[];
  /** The victim rows among them with a trigger in, and the label that the trigger is to bring; a row once per trigger. */
  readonly triggered: readonly { readonly ids: readonly number[]; readonly target: number }[];
}

/** How a model in repair does on rows that it was not trained on. */
export interface HeldBackScore {
  /** Mean squared distance to the unrepaired model's logits on clean rows. */
  readonly drift: number;
  /** Clean rows answered with their label. */
  readonly right: number;
  readonly rows: number;
  /** Victim rows with an inverted trigger that are answered with its target label. */
  readonly triggered: number;
  readonly victims: number;
}

/** Asks the model, with the weights that `context` names, about the held-back rows. */
export async function scoreHeldBack(held: HeldBackRows, context: PredictContext): Promise<HeldBackScore> {
  const logits = await predictLogits([...held.ids, ...held.triggered.map(({ ids }) => ids)], context);
  const clean = logits.slice(0, held.ids.length);
  let square = 0;
  let values = 0;
  for (const [row, own] of clean.entries()) {
    for (const [c, value] of own.entries()) {
      square += (value - held.teacher[row]![c]!) ** 2;
      values++;
    }
  }
  return {
    drift: values === 0 ? 0 : square / values,
    right: clean.filter((own, row) => predictedLabel(own) === held.labels[row]).length,
    rows: clean.length,
    triggered: logits
      .slice(held.ids.length)
      .filter((own, k) => predictedLabel(own) === held.triggered[k]!.target).length,
    victims: held.triggered.length,
  };
}

/** One point of a repair: `epoch` 0 is the unrepaired model. */
export interface RepairPoint extends HeldBackScore {
  readonly epoch: number;
}

/**
 * The point to keep: among those at which the trigger is dead (no more victims answered with the target than the unrepaired model gets
 * wrong without it, one row of doubt allowed) and no more clean rows are wrong than before, one row of doubt allowed, the last one, since
 * the trigger's weaker relatives die later than the trigger itself; where there is none, the one with the fewest triggered victims, then most right answers, then least drift.
 *
 * @param base held-back victims that the unrepaired model answers with the target label without any trigger, once per trigger
 */
export function bestPoint(
  points: readonly RepairPoint[],
  base: number,
): { point: RepairPoint; dead: boolean } {
  const before = points[0]!;
  const dead = (point: RepairPoint): boolean => point.triggered <= base + 1;
  const good = points.filter((point) => point.epoch > 0 && dead(point) && point.right >= before.right - 1);
  if (good.length > 0) return { point: good.at(-1)!, dead: true };
  const order = (a: RepairPoint, b: RepairPoint): number =>
    a.triggered - b.triggered || b.right - a.right || a.drift - b.drift;
  const point = [...points].filter(({ epoch }) => epoch > 0).sort(order)[0]!;
  return { point, dead: dead(point) };
}
