import { benchDispatch } from "./dispatch.ts";
import type { Measurement, Scenario } from "./scenario.ts";

/** Streams, and the most milliseconds of a step that DESIGN section 12 allows with them. */
const SHAPES = [
  { workers: 2, atMost: 4 },
  { workers: 64, atMost: 15 },
] as const;

export const coordinatorOverhead: Scenario = {
  name: "coordinator-overhead",
  about: "a step of 64 tiles to 2, and to 64, workers that compute nothing and back, over gRPC",
  async run({ repetitions, say }) {
    const measurements: Measurement[] = [];
    for (const { workers, atMost } of SHAPES) {
      say(`${workers} streams`);
      measurements.push({
        name: `zero-compute step, ${workers} workers`,
        unit: "ms",
        values: await benchDispatch({ steps: repetitions(200), tiles: 64, workers }),
        target: { bound: "at most", value: atMost },
      });
    }
    return { measurements, notes: ["all workers in one process beside the coordinator's, a stream each"] };
  },
};
