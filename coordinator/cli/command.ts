import type { Command } from "commander";
import type { Executor } from "../../proto/operations.ts";
import type { VectorCache } from "../../proto/vector-cache.ts";
import { EXIT, exitCodeOf, messageOf } from "./errors.ts";
import type { KeyOwners } from "./key-owners.ts";
import { commanderOption, type OptionSpecs, type Parsed } from "./options.ts";
import { parseOptions } from "./parse-options.ts";
import { type Display, displayFor } from "./progress.ts";

/** Calls `stop` when the signal fires, at once where it has fired already. */
export function onAbort(signal: AbortSignal, stop: () => void): void {
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
}

/** What a running command may use. */
export interface CommandContext {
  readonly display: Display;
  /** Fires on Ctrl-C or SIGTERM: the command stops, ends what it started, and the process exits with 130. */
  readonly signal: AbortSignal;
}

/** Where searches are counted: the coordinator's metrics. */
export interface SearchMeter {
  searchStarted(): void;
  searchEnded(): void;
  stepDone(seconds: number): void;
  /** Candidates × samples of steps: scored, or not needed. */
  forwardsSettled(forwards: { readonly done: number; readonly pruned: number }): void;
}

/** What a command that computes may use: also the cluster's workers. */
export interface ClusterContext extends CommandContext {
  readonly executor: Executor;
  readonly meter: SearchMeter;
  /** What checkpoints answered to this command: all of it on workers of one device class. */
  readonly answers: VectorCache;
}

/** A command of `elibad`. It gives back its result, which `--json` prints, or nothing. */
export interface CommandSpec<S extends OptionSpecs = OptionSpecs> {
  readonly name: string;
  readonly summary: string;
  /** Text under the options in `--help`: examples and what is written where. */
  readonly help: string;
  readonly options: S;
  run(options: Parsed<S>, context: CommandContext): Promise<unknown>;
  /** Runs until it is told to stop: being told so is its success. */
  readonly isService?: true;
  /** The result as a person reads it. Absent: nothing is printed beside what `run` showed. */
  show?(result: never): string;
}

/** Declares a command with its option types inferred. */
export const defineCommand = <S extends OptionSpecs>(spec: CommandSpec<S>): CommandSpec<S> => spec;

/** What the program tells a command. */
export interface Surroundings {
  /** Gets the exit code. */
  readonly ended: (exitCode: number) => void;
  readonly ownersOf: KeyOwners;
}

/** Adds a command to the program: parsing, signals, output and exit code are the same for all. */
export function register(program: Command, spec: CommandSpec, { ended, ownersOf }: Surroundings): void {
  const { summary } = spec;
  const command = program.command(spec.name).summary(summary);
  command.description(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`);
  // What every command has stands last.
  const specs = Object.values(spec.options).sort(
    (a, b) => Number(a.group === undefined) - Number(b.group === undefined),
  );
  for (const each of specs) command.addOption(commanderOption(each));
  command.addHelpText("after", () => `\n${wrapped(spec.help, process.stdout.columns ?? 80)}\n`);
  command.action(async (given: Record<string, unknown>) => {
    ended(await runCommand(spec, given, ownersOf));
  });
}

/** Paragraphs broken at a width; lines that begin with blanks are examples and stay as they are. */
function wrapped(text: string, width: number): string {
  const lines = text.replace(/^\n+|\s+$/g, "").split("\n");
  const paragraphs: string[] = [];
  for (const [k, line] of lines.entries()) {
    const isProse = line !== "" && !line.startsWith(" ");
    const goesOn = isProse && k > 0 && lines[k - 1] !== "" && !lines[k - 1]!.startsWith(" ");
    if (goesOn) paragraphs.push(`${paragraphs.pop()} ${line}`);
    else paragraphs.push(line);
  }
  const breaks = new RegExp(`(.{1,${width}})(?: +|$)`, "g");
  return paragraphs
    .map((line) => (line.startsWith(" ") ? line : line.replace(breaks, "$1\n").trimEnd()))
    .join("\n");
}

/** Runs a command on parsed flags and answers its exit code. Every error ends here, as one line on stderr. */
async function runCommand(
  spec: CommandSpec,
  given: Readonly<Record<string, unknown>>,
  ownersOf: KeyOwners,
): Promise<number> {
  const stop = new AbortController();
  const interrupt = (): void => stop.abort();
  // Once only: a second Ctrl-C ends the process at once.
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  const asJson = given.json === true;
  const display = displayFor(asJson);
  try {
    const options = parseOptions(spec.options, given, { command: spec.name, note: display.line, ownersOf });
    const result = await spec.run(options, { display, signal: stop.signal });
    display.close();
    if (stop.signal.aborted) return spec.isService ? EXIT.done : EXIT.interrupted;
    if (asJson && result !== undefined) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    else if (result !== undefined && spec.show) process.stdout.write(`${spec.show(result as never)}\n`);
    return EXIT.done;
  } catch (error) {
    display.close();
    if (stop.signal.aborted) {
      process.stderr.write("elibad: interrupted\n");
      return EXIT.interrupted;
    }
    process.stderr.write(`elibad ${spec.name}: ${messageOf(error)}\n`);
    return exitCodeOf(error);
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}
