import { expect, test, vi } from "vitest";
import { metricSum } from "../support/metric-values.ts";
import { costText, noteCost } from "./cost.ts";
import { CLUSTER_TIMEOUT_MS, shortOrLong } from "./long-form.ts";
import { SweepScene } from "./sweep-scene.ts";

vi.setConfig({ testTimeout: CLUSTER_TIMEOUT_MS });

const lies = shortOrLong(["lie"], ["lie", "bit"]) as readonly ("lie" | "bit")[];

test.for(lies)(
  "14: a worker that lies (%s) is expelled, and jobs go back to before its results",
  async (spoil, context) => {
    const scene = await SweepScene.start({
      store: "sqlite",
      jobs: 2,
      workers: 3,
      coordinatorWords: ["--recheck-rate", "1"],
    });
    let told = 0;
    // It begins to lie when it is trusted: a step is committed.
    scene.agent.follow(({ worker, kind }) => {
      if (worker !== "w1" || kind !== "score" || scene.committedSteps < 1) return undefined;
      told++;
      return { order: "go", spoil };
    });
    await scene.submit();
    await scene.over();
    expect(told).toBeGreaterThan(0);
    await scene.expectCalm();
    const values = await scene.metrics();
    expect(metricSum(values, "coordinator_workers_expelled_total")).toBe(1);
    expect(scene.log).toMatch(/expelled.*worker=w1|worker=w1.*expelled|worker w1 was expelled/);
    const back = scene.log.split("the job was taken-back").length - 1;
    noteCost(context, `${told} lies, jobs taken back ${back}, ${costText(values)}`);
    await scene.end();
  },
);
