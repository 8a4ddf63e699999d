import type { ClusterCommandSpec } from "../cluster-command.ts";
import { clean } from "./clean.ts";
import { evaluate } from "./evaluate.ts";
import { predict } from "./predict.ts";
import { scan } from "./scan.ts";
import { train } from "./train.ts";
import { unlearn } from "./unlearn.ts";

/** Commands that a running coordinator does for others. */
export const clusterCommands = [
  train,
  evaluate,
  predict,
  scan,
  unlearn,
  clean,
] as unknown as readonly ClusterCommandSpec[];
