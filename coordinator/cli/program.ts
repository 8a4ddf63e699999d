import { Command, CommanderError } from "commander";
import { packageVersion } from "../../proto/package-root.ts";
import { register, registerGroup } from "./command.ts";
import { commands, groups } from "./commands/index.ts";
import { EXIT } from "./errors.ts";
import { keyOwners } from "./key-owners.ts";

/** The command line of `elibad`, with every command; `ended` gets the exit code of the one that ran. */
export function elibadProgram(ended: (exitCode: number) => void = () => undefined): Command {
  const program = new Command("elibad")
    .version(packageVersion)
    .description(
      "Finds and removes backdoors in neural code models: inverts the trigger, reports what it does on held-out code, and writes a repaired checkpoint.",
    )
    .showSuggestionAfterError()
    // An option behind a command's name is that command's.
    .enablePositionalOptions()
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({ outputError: (message, write) => write(wrongUseLine(message)) })
    .exitOverride()
    .addHelpText(
      "after",
      "\nStart here: `elibad demo` makes a small backdoored model, scans it and repairs it.\nExit codes: 0 done, 1 failed, 2 wrong use or input, 130 interrupted.",
    );
  const ownersOf = keyOwners(commands);
  for (const command of commands) register(program, command, { ended, ownersOf });
  for (const group of groups) registerGroup(program, group, { ended, ownersOf });
  return program;
}

/** commander's message on wrong use as one line in our form: `elibad: unknown option '--modle' (did you mean --model?)`. */
const wrongUseLine = (message: string): string =>
  `elibad: ${message
    .replace(/^error: /, "")
    .replace(/\s*\n\s*/g, " ")
    .replace("(Did you mean", "(did you mean")
    .replace(/\.$/, "")
    .trim()}; see --help\n`;

/** Runs `elibad` with the words after its name; answers the exit code, having written result and errors. */
export async function runElibad(words: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.done;
  try {
    await elibadProgram((code) => {
      exitCode = code;
    }).parseAsync(words, { from: "user" });
    return exitCode;
  } catch (error) {
    // commander has printed its own message: help and --version end with 0, wrong use with 2.
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT.done : EXIT.wrongInput;
  }
}
