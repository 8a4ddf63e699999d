import { coordinatorOverhead } from "./coordinator-overhead.ts";
import { forms, formsBase } from "./forms.ts";
import { forwardBase, forwardSmall } from "./forward.ts";
import { gradientBase, gradientSmall } from "./gradient.ts";
import { matmulCeiling } from "./matmul-ceiling.ts";
import { memory } from "./memory.ts";
import type { Scenario } from "./scenario.ts";
import { step } from "./step.ts";
import { trainingBase } from "./training.ts";

/** Every scenario, in the order in which they run. */
export const scenarios: readonly Scenario[] = [
  matmulCeiling,
  coordinatorOverhead,
  forwardSmall,
  forms,
  gradientSmall,
  step,
  forwardBase,
  formsBase,
  gradientBase,
  memory,
  trainingBase,
];
