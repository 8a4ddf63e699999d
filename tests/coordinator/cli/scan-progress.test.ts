import { expect, test } from "vitest";
import { countSearches } from "../../../coordinator/cli/scan-progress.ts";
import { DispatchSettings } from "../../../coordinator/dispatch/settings.ts";
import { newDispatchState } from "../../../coordinator/dispatch/state.ts";
import { readCluster } from "../../../coordinator/dispatch/views.ts";
import { CoordinatorMetrics } from "../../../coordinator/http/coordinator-metrics.ts";

test("the metrics say how many forwards steps did and how many they pruned, over all searches", async () => {
  const state = newDispatchState(DispatchSettings.parse({}));
  const metrics = new CoordinatorMetrics(
    readCluster(
      () => state,
      () => 0,
    ),
  );
  const listener = countSearches(metrics);
  const common = { searches: 2, half: "first_half", phase: "search" } as const;
  const observe = (search: number, step: number, forwardsDone: number, forwardsPruned: number) =>
    listener.observe({ ...common, search, step, forwardsDone, forwardsPruned });
  observe(0, 0, 50, 0); // a round, within the step
  observe(1, 0, 64, 0);
  observe(0, 1, 80, 20);
  observe(1, 2, 150, 50);
  observe(0, 1, 95, 20);
  listener.observe({ ...common, search: 0, phase: "done" });
  listener.close();
  const text = await metrics.registry.metrics();
  expect(text).toMatch(/^elibad_coordinator_step_forwards_total\{outcome="done"\} 230$/m);
  expect(text).toMatch(/^elibad_coordinator_step_forwards_total\{outcome="pruned"\} 70$/m);
  expect(text).toMatch(/^elibad_coordinator_searches_running 0$/m);
});
