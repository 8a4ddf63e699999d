import { describe, expect, test } from "vitest";
import { sumInOrder } from "../../../coordinator/search/loss.ts";
import {
  absorb,
  finishScoring,
  planRound,
  startScoring,
  type TilePlan,
  winnerOf,
} from "../../../coordinator/search/rounds.ts";
import { tileSizesOf } from "../../../coordinator/search/tiles.ts";
import { slots, stamp } from "../../../proto/stamping.ts";
import { hasShared, readSharedJson } from "../../support/shared.ts";

interface Case {
  readonly cell: {
    readonly block: number;
    readonly ids: { readonly pad: number; readonly eos_restored: number };
  };
  readonly inputs: { readonly input_ids: number[][]; readonly lengths: number[] };
  readonly trigger: {
    readonly ids: number[];
    readonly insert_index: number[];
    readonly slots: number[][];
    readonly stamped_ids: number[][];
  };
  readonly steps: readonly {
    readonly loss: number[][];
    readonly loss_mean: number[];
    readonly winner: number;
    readonly winner_loss: number;
  }[];
}

const base = { diveSamples: 2, diveCandidates: 2, roundTiles: 1 };
const plans: TilePlan[] = [
  { ...base, pruning: false, pruneBlock: 2 },
  { ...base, pruning: true, pruneBlock: 1 },
];

describe.skipIf(!hasShared).each(["defect_detection-codebert", "defect_detection-unixcoder"])(
  "golden/tiny/%s",
  (cell) => {
    const golden = hasShared ? readSharedJson<Case>("golden", "tiny", cell, "case.json") : undefined;

    test.each(plans)("the recorded losses give the recorded winners (pruning $pruning)", (plan) => {
      for (const step of golden!.steps) {
        const stampedLengths = golden!.inputs.lengths.map((length) =>
          Math.min(length + 5, golden!.cell.block),
        );
        const sampleLosses = step.loss[0]!;
        const tileSizes = tileSizesOf(stampedLengths, 200);
        let scoring = startScoring(step.loss.length, { plan, form: "float64", tileSizes, sampleLosses });
        for (let tiles = planRound(scoring); tiles.length > 0; tiles = planRound(scoring)) {
          const results = tiles.map(({ sample, candidates }) =>
            candidates.map((k) => step.loss[k]![sample]!),
          );
          scoring = absorb(scoring, tiles, results);
        }
        const scores = finishScoring(scoring);
        expect(winnerOf(scores)).toBe(step.winner);
        for (const [k, score] of scores.entries()) {
          if (score.kind === "complete") expect(score.mean).toBeCloseTo(step.loss_mean[k]!, 14);
          else expect(step.loss_mean[k]).toBeGreaterThan(score.bound);
        }
        expect(sumInOrder(step.loss[step.winner]!) / stampedLengths.length).toBeCloseTo(step.winner_loss, 14);
      }
    });

    test("stamping gives the recorded rows and slots", () => {
      const { cell, inputs, trigger } = golden!;
      const limits = { maxLen: cell.block, endId: cell.ids.eos_restored };
      for (const [k, index] of trigger.insert_index.entries()) {
        const row = inputs.input_ids[k]!.slice(0, inputs.lengths[k]);
        const stamped = stamp(row, trigger.ids, index, limits);
        const padding = new Array<number>(cell.block - stamped.length).fill(cell.ids.pad);
        expect([...stamped, ...padding]).toEqual(trigger.stamped_ids[k]);
        expect(slots(row.length, trigger.ids.length, index, limits)).toEqual(trigger.slots[k]);
      }
    });
  },
);
