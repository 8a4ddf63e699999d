import type { CommandSpec } from "../command.ts";
import { inspect } from "./inspect.ts";
import { scan } from "./scan.ts";

/** Every command of `elibad`, in the order of `--help`. */
export const commands = [inspect, scan] as unknown as readonly CommandSpec[];
