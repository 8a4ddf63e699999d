import type { CommandSpec } from "../command.ts";
import { inspect } from "./inspect.ts";
import { poison } from "./poison.ts";
import { scan } from "./scan.ts";
import { train } from "./train.ts";

/** Every command of `elibad`, in the order of `--help`. */
export const commands = [poison, train, inspect, scan] as unknown as readonly CommandSpec[];
