import { expect, onTestFinished, test } from "vitest";
import type { Order } from "../support/fault-agent.ts";
import { metricSum } from "../support/metric-values.ts";
import { noteCost } from "./cost.ts";
import { ScanScene } from "./scan-scene.ts";

const scene = ScanScene.forFile({ workers: 2 });

const spoils: readonly { readonly what: string; readonly spoil: "nan" | "short" | "other" }[] = [
  { what: "hold NaN", spoil: "nan" },
  { what: "are too short", spoil: "short" },
  { what: "are another operation's", spoil: "other" },
];

test.for(spoils)(
  "13: results that $what are refused, and done by another worker",
  async ({ spoil }, context) => {
    let begun = 0;
    let spoiled = 0;
    // One worker's, one in five: three wrong results in a row would give an operation up.
    const stop = scene.agent.follow(({ worker }): Order | undefined => {
      if (worker !== "w1" || begun++ % 5 > 0) return undefined;
      spoiled++;
      return { order: "go", spoil };
    });
    onTestFinished(stop);
    const cost = await scene.scanWith(async () => {});
    expect(spoiled).toBeGreaterThan(0);
    const invalid = metricSum(cost, "coordinator_results_total", { fate: "invalid" });
    // Some came when another worker had answered.
    expect(invalid).toBeGreaterThan(0);
    expect(invalid).toBeLessThanOrEqual(spoiled);
    noteCost(context, cost);
  },
);
