import type { CommandSpec } from "../command.ts";

/** Every command of `elibad`, in the order of `--help`. */
export const commands: readonly CommandSpec[] = [];
