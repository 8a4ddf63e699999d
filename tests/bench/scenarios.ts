import { coordinatorMemory } from "./coordinator-memory.ts";
import { coordinatorOverhead } from "./coordinator-overhead.ts";
import { forms, formsBase } from "./forms.ts";
import { forwardBase, forwardSmall } from "./forward.ts";
import { gradientBase, gradientSmall } from "./gradient.ts";
import { jobsInARow } from "./jobs-in-a-row.ts";
import { matmulCeiling } from "./matmul-ceiling.ts";
import { memory } from "./memory.ts";
import { parallelEfficiency } from "./parallel-efficiency.ts";
import type { Scenario } from "./scenario.ts";
import { step } from "./step.ts";
import { trainingBase } from "./training.ts";

/** Every scenario, in the order in which they run. */
export const scenarios: readonly Scenario[] = [
  matmulCeiling,
  coordinatorOverhead,
  parallelEfficiency,
  forwardSmall,
  forms,
  gradientSmall,
  step,
  forwardBase,
  formsBase,
  gradientBase,
  memory,
  coordinatorMemory,
  jobsInARow,
  trainingBase,
];
