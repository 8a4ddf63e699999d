import type { Command } from "commander";
import type { Executor } from "../../proto/operations.ts";
import type { VectorCache } from "../../proto/vector-cache.ts";
import { EXIT, exitCodeOf, InputError, messageOf } from "./errors.ts";
import type { KeyOwners } from "./key-owners.ts";
import { commanderOption, type OptionSpecs, type Parsed } from "./options.ts";
import { readOptions } from "./parse-options.ts";
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
  /**
   * What is wrong with the options and what they name, as far as it shows without anything being started or dialled. A command that has it is not run where something is, and says all of it with
   * `--check-config`. An option that is wrong by itself has its default here, or is undefined.
   */
  problems?(options: Parsed<S>): readonly string[];
  /** Runs until it is told to stop: being told so is its success. */
  readonly isService?: true;
  /** Commands under this one's name. */
  readonly subcommands?: readonly CommandSpec[];
  /** The result as a person reads it. Absent: nothing is printed beside what `run` showed. */
  show?(result: never): string;
}

/** Commands under a name that is none itself: `elibad sweep list`. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly help: string;
  readonly subcommands: readonly CommandSpec[];
}

/** Declares a command with its option types inferred. */
export const defineCommand = <S extends OptionSpecs>(spec: CommandSpec<S>): CommandSpec<S> => spec;

/** What the program tells a command. */
export interface Surroundings {
  /** Gets the exit code. */
  readonly ended: (exitCode: number) => void;
  readonly ownersOf: KeyOwners;
}

/** Adds a group of commands to the program. */
export function registerGroup(program: Command, group: CommandGroup, surroundings: Surroundings): void {
  const command = describe(program, group);
  for (const each of group.subcommands) register(command, each, surroundings, group.name);
}

const CHECK_CONFIG =
  "only check the options and the files that they name: says all that is wrong (exit code 2), or that nothing is (0)";

/** Adds a command to the program: parsing, signals, output and exit code are the same for all. */
export function register(
  program: Command,
  spec: CommandSpec,
  { ended, ownersOf }: Surroundings,
  group?: string,
): void {
  const command = describe(program, spec);
  // What every command has stands last.
  const specs = Object.values(spec.options).sort(
    (a, b) => Number(a.group === undefined) - Number(b.group === undefined),
  );
  for (const each of specs) {
    if (each.isArgument) command.argument(each.flag, each.describe);
    else command.addOption(commanderOption(each));
  }
  if (spec.problems) command.option("--check-config", CHECK_CONFIG);
  const places = Object.keys(spec.options).filter((name) => spec.options[name]!.isArgument);
  command.action(async (...words: unknown[]) => {
    const placed = places.map((name, k) => [name, absentIfEmpty(words[k])]);
    const given = { ...(words[places.length] as object), ...Object.fromEntries(placed) };
    ended(await runCommand(spec, given, { ownersOf, group }));
  });
  for (const each of spec.subcommands ?? []) register(command, each, { ended, ownersOf }, spec.name);
}

/** commander gives an empty list where a list of words is left out. */
const absentIfEmpty = (value: unknown): unknown =>
  Array.isArray(value) && value.length === 0 ? undefined : value;

function describe(program: Command, { name, summary, help }: Omit<CommandGroup, "subcommands">): Command {
  const command = program.command(name).summary(summary);
  command.description(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`);
  command.addHelpText("after", () => `\n${wrapped(help, process.stdout.columns ?? 80)}\n`);
  return command;
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
  { ownersOf, group }: { readonly ownersOf: KeyOwners; readonly group: string | undefined },
): Promise<number> {
  const name = group === undefined ? spec.name : `${group} ${spec.name}`;
  const stop = new AbortController();
  const interrupt = (): void => stop.abort();
  // Once only: a second Ctrl-C ends the process at once.
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  const asJson = given.json === true;
  const display = displayFor(asJson);
  try {
    const context = { command: spec.name, note: display.line, ownersOf };
    const { options, problems } = readOptions(spec.options, given, context);
    const found = [...problems, ...(spec.problems?.(options) ?? [])];
    if (given.checkConfig === true) return sayProblems(name, found);
    if (found[0] !== undefined) throw new InputError(found[0]);
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
    process.stderr.write(`elibad ${name}: ${messageOf(error)}\n`);
    return exitCodeOf(error);
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

/** The answer of `--check-config`. */
function sayProblems(name: string, problems: readonly string[]): number {
  for (const problem of problems) process.stderr.write(`elibad ${name}: ${problem}\n`);
  if (problems.length > 0) return EXIT.wrongInput;
  process.stdout.write("the configuration is right\n");
  return EXIT.done;
}
