import { benchDispatch } from "./dispatch.ts";
import type { Scenario } from "./scenario.ts";

export const coordinatorOverhead: Scenario = {
  name: "coordinator-overhead",
  about: "a step of 64 tiles to 2 workers that compute nothing and back, over gRPC",
  async run({ repetitions }) {
    const values = await benchDispatch({ steps: repetitions(200), tiles: 64, workers: 2 });
    return {
      measurements: [
        { name: "zero-compute step, 2 workers", unit: "ms", values, target: { bound: "at most", value: 4 } },
      ],
      notes: ["both workers in one process beside the coordinator's"],
    };
  },
};
