import { Command, CommanderError } from "commander";
import { packageVersion } from "../../proto/package-root.ts";
import { register } from "./command.ts";
import { commands } from "./commands/index.ts";
import { EXIT } from "./errors.ts";

const program = new Command("elibad")
  .version(packageVersion)
  .description(
    "Finds and removes backdoors in neural code models: inverts the trigger, reports what it does on held-out code, and writes a repaired checkpoint.",
  )
  .showSuggestionAfterError()
  .showHelpAfterError("(see --help)")
  .configureHelp({ showGlobalOptions: false })
  .exitOverride()
  .addHelpText(
    "after",
    "\nStart here: `elibad demo` makes a small backdoored model, scans it and repairs it.\nExit codes: 0 done, 1 failed, 2 wrong use or input, 130 interrupted.",
  );
for (const command of commands) register(program, command);

try {
  await program.parseAsync(process.argv);
} catch (error) {
  // commander has printed its own message: help and --version end with 0, wrong use with 2.
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.wrongInput;
}
