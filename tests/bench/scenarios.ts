import { coordinatorMemory } from "./coordinator-memory.ts";
import { coordinatorOverhead } from "./coordinator-overhead.ts";
import { evaluation } from "./evaluation.ts";
import { forms, formsBase } from "./forms.ts";
import { forwardBase, forwardSmall } from "./forward.ts";
import { gradientBase, gradientSmall } from "./gradient.ts";
import { jobsInARow } from "./jobs-in-a-row.ts";
import { matmulCeiling } from "./matmul-ceiling.ts";
import { memory } from "./memory.ts";
import { pairs } from "./pairs.ts";
import { parallelEfficiency } from "./parallel-efficiency.ts";
import { pruningPlans } from "./pruning-plans.ts";
import type { Scenario } from "./scenario.ts";
import { search } from "./search.ts";
import { step, stepBase, stepClones, stepCodet5, stepFused, stepStarcoder } from "./step.ts";
import { trainingBase } from "./training.ts";
import { unlearning, unlearningBase } from "./unlearning.ts";

/** Every scenario, in the order in which they run. */
export const scenarios: readonly Scenario[] = [
  matmulCeiling,
  coordinatorOverhead,
  parallelEfficiency,
  forwardSmall,
  forms,
  gradientSmall,
  step,
  stepFused,
  search,
  pruningPlans,
  stepCodet5,
  stepClones,
  stepStarcoder,
  pairs,
  unlearning,
  evaluation,
  forwardBase,
  formsBase,
  gradientBase,
  stepBase,
  unlearningBase,
  memory,
  coordinatorMemory,
  jobsInARow,
  trainingBase,
];
