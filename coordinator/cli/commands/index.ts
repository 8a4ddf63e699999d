import type { CommandGroup, CommandSpec } from "../command.ts";
import { certs } from "./certs.ts";
import { clusterCommands } from "./cluster-commands.ts";
import { coordinator } from "./coordinator.ts";
import { demo } from "./demo.ts";
import { inspect } from "./inspect.ts";
import { poison } from "./poison.ts";
import { preprocess } from "./preprocess.ts";
import { sweep } from "./sweep/index.ts";
import { worker } from "./worker.ts";

/** Every command of `elibad`, in the order of `--help`. */
export const commands = [
  demo,
  inspect,
  preprocess,
  poison,
  ...clusterCommands,
  coordinator,
  worker,
  certs,
] as unknown as readonly CommandSpec[];

/** Commands of several words. */
export const groups: readonly CommandGroup[] = [sweep];
