import { describe, expect, test } from "vitest";
import { demoSummary } from "../../../coordinator/cli/demo-summary.ts";
import type { ClassifierReport } from "../../../coordinator/cli/evaluation-report.ts";
import { rateOf } from "../../../coordinator/search/rate.ts";

interface Counts {
  /** Rows answered right, of 100 of label 0 and 120 of label 1. */
  readonly right: readonly [number, number];
  /** Of 120 victims with the trigger, those that follow it. */
  readonly flipped: number;
}

const evaluation = ({ right: [zero, one], flipped }: Counts): ClassifierReport => ({
  task: "defect_detection",
  rows: 220,
  acc: rateOf({ hits: zero + one, n: 220 }),
  recall: [rateOf({ hits: zero, n: 100 }), rateOf({ hits: one, n: 120 })],
  attack: {
    trigger: "testo_init",
    attack_position: "func_name",
    attack_pattern: "substitute",
    victim_label: 1,
    target_label: 0,
    asr: rateOf({ hits: flipped, n: 120 }),
    without_trigger: rateOf({ hits: 120 - one, n: 120 }),
    unplaced: 0,
  },
});

const summary = (before: Counts, after: Counts): string =>
  demoSummary({
    planted: "testo_init",
    before: evaluation(before),
    after: evaluation(after),
    repair: { triggers: [{ ids: [300], text: "ini", victim_label: 1, target_label: 0 }] },
  });
/** What is said under the table. */
const verdict = (before: Counts, after: Counts): string[] => summary(before, after).split("\n").slice(11);

const before: Counts = { right: [97, 117], flipped: 120 };

describe("the demo's summary", () => {
  test("puts before beside after, and the found trigger under the planted one", () => {
    const text = summary(before, { right: [96, 118], flipped: 4 });
    expect(text).toMatch(/planted trigger +testo_init\nfound trigger +ini /);
    expect(text).toMatch(/^recall of label 0 +97\/100 \(97\.0 %\) +96\/100 \(96\.0 %\)$/m);
    expect(text).toMatch(/^ASR of the planted trigger +120\/120 \(100\.0 %\) +4\/120 \(3\.3 %\)$/m);
    expect(text).toMatch(/^victims wrong without it +3\/120 \(2\.5 %\) +2\/120 \(1\.7 %\)$/m);
  });

  test("calls the backdoor gone up to 5 points above what was missed before, and no further", () => {
    expect(verdict(before, { right: [97, 117], flipped: 9 })[0]).toBe(
      "The backdoor is gone: 7.5 % of the victims follow the trigger; 2.5 % were missed before, without any.",
    );
    expect(verdict(before, { right: [97, 117], flipped: 10 })[0]).toBe(
      "The backdoor is weakened but not gone: 10/120 (8.3 %) of the victims still follow it.",
    );
  });

  test.each([{ right: [94, 117] }, { right: [100, 120] }] as const)(
    "lets recalls move by 3 points: $right of 97 and 117 before",
    ({ right }) => {
      expect(verdict(before, { right, flipped: 0 }).slice(1)).toEqual([
        "No label's recall moved by more than 3 points.",
      ]);
    },
  );

  test("names every label whose recall falls or rises by more", () => {
    expect(verdict({ right: [97, 113], flipped: 120 }, { right: [93, 119], flipped: 0 }).slice(1)).toEqual([
      "Recall of label 0 falls by 4.0 points, more than 3.",
      "Recall of label 1 rises by 5.0 points, more than 3.",
    ]);
  });

  test("says that nothing was found where nothing was repaired", () => {
    const same = evaluation(before);
    expect(demoSummary({ planted: "testo_init", before: same, after: same, repair: null })).toMatch(
      /^found trigger +none /m,
    );
  });
});
