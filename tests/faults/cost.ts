import { expect, type TestContext } from "vitest";
import { type MetricValues, metricSum } from "../support/metric-values.ts";

declare module "vitest" {
  interface TaskMeta {
    /** What a fault cost, for the table at the end. */
    cost?: string;
  }
}

/** What counts as no cost: a lease that ended with its result, a result that was the first of its operation. */
const FREE = /"(result|withdrawn|used)"/;

const LOSSES = [
  [/^coordinator_leases_ended_total\{reason="(.+)"\}/, "leases"],
  [/^coordinator_results_total\{.*fate="(.+)"\}/, "results"],
] as const;

/** What a fault cost by the coordinator's metrics, in words: "leases lost 2, results unneeded 1". */
export function costText(values: MetricValues): string {
  const costs = new Map<string, number>();
  for (const [key, count] of values) {
    for (const [pattern, what] of LOSSES) {
      const kind = FREE.test(key) ? undefined : pattern.exec(key)?.[1];
      if (kind !== undefined) costs.set(`${what} ${kind}`, (costs.get(`${what} ${kind}`) ?? 0) + count);
    }
  }
  costs.set("NATS reconnected", metricSum(values, "coordinator_nats_reconnects_total"));
  const text = [...costs].filter(([, count]) => count > 0).map(([name, count]) => `${name} ${count}`);
  return text.length === 0 ? "nothing" : text.join(", ");
}

/** Notes what the fault of a test cost, for the table of `npm run test:faults`. */
export function noteCost({ task }: TestContext, cost: MetricValues | string): void {
  task.meta.cost = typeof cost === "string" ? cost : costText(cost);
}

/** Nothing is lost and nothing is counted twice: every lease ended once, and every operation that is done had one result that was used. */
export function expectBalanced(values: MetricValues): void {
  const granted = metricSum(values, "coordinator_leases_granted_total");
  const ended = metricSum(values, "coordinator_leases_ended_total");
  const live = metricSum(values, "coordinator_leases");
  const done = metricSum(values, "coordinator_operations_total", { outcome: "done" });
  const used =
    metricSum(values, "coordinator_results_total", { fate: "used" }) +
    metricSum(values, "coordinator_kept_results_total", { outcome: "reused" });
  expect({ granted, used }).toEqual({ granted: ended + live, used: done });
}
