import type { CommandSpec } from "../command.ts";
import { evaluate } from "./evaluate.ts";
import { inspect } from "./inspect.ts";
import { poison } from "./poison.ts";
import { predict } from "./predict.ts";
import { scan } from "./scan.ts";
import { train } from "./train.ts";

/** Every command of `elibad`, in the order of `--help`. */
export const commands = [
  poison,
  train,
  evaluate,
  predict,
  inspect,
  scan,
] as unknown as readonly CommandSpec[];
