import { isRemote } from "../sources/source.ts";
import { type ConfigEntries, readConfig, unknownKeys } from "./config-file.ts";
import { InputError } from "./errors.ts";
import type { KeyOwners } from "./key-owners.ts";
import { configKeyOf, flagNameOf, type OptionSpec, type OptionSpecs, type Parsed } from "./options.ts";
import { fromPublished, isPublished } from "./published-config.ts";
import { publishedKeys } from "./published-keys.ts";

const ONLY_PATHS =
  "must be a path of this machine; only the files of 'elibad sweep' name buckets (s3://BUCKET/FOLDER)";

/** Whose options they are, for settings of the published code, and where a line about those goes. */
export interface ParseContext {
  /** Name of the command. */
  readonly command?: string;
  readonly note?: (line: string) => void;
  readonly ownersOf?: KeyOwners;
}

/** Options as far as they are right, and what is wrong with the others. */
export interface ReadOptions<S extends OptionSpecs> {
  /** One that is wrong has its default here, or is undefined where it has none. */
  readonly options: Parsed<S>;
  /** One line each: flag, or file, line and key; value; what is wrong with it. */
  readonly problems: readonly string[];
}

/**
 * Options of a command from its command line and, where `--config` names one, a YAML file of its options or of the published code's
 * settings; the command line wins.
 *
 * @param given what commander read: camel-case names, values still text (or true for a switch).
 */
export function readOptions<S extends OptionSpecs>(
  specs: S,
  given: Readonly<Record<string, unknown>>,
  context: ParseContext = {},
): ReadOptions<S> {
  const { command } = context;
  const names = Object.keys(specs);
  const configFile = typeof given.config === "string" ? given.config : undefined;
  const known = names.filter((name) => name !== "config").map(configKeyOf);
  const { entries, problems: ofFile } = configFile
    ? readEntries(configFile, known, given.task, context)
    : NO_ENTRIES;
  const problems = [...ofFile];
  const parsed: Record<string, unknown> = {};
  for (const name of names) {
    const spec = specs[name] as OptionSpec;
    const entry = entries.get(configKeyOf(name));
    const fromLine = given[name] !== undefined;
    const value = fromLine ? given[name] : entry?.value === null ? undefined : entry?.value;
    const result = spec.schema.safeParse(value);
    // A sweep's settings are checked here before its buckets have become paths.
    const isElsewhere = command !== undefined && spec.isPath && typeof value === "string" && isRemote(value);
    if (result.success && !isElsewhere) {
      parsed[name] = result.data;
      continue;
    }
    parsed[name] = spec.schema.safeParse(undefined).data;
    const problem = isElsewhere ? ONLY_PATHS : (result.error?.issues[0]?.message ?? "is not valid");
    const where =
      fromLine || !entry ? flagNameOf(spec) : `${configFile} line ${entry.line}: ${configKeyOf(name)}`;
    if (value !== undefined) problems.push(`${where} ${JSON.stringify(value)}: ${problem}`);
    // A file that could not be read may have it.
    else if (ofFile.length === 0 || entries.size > 0)
      problems.push(`${flagNameOf(spec)} is missing: ${spec.describe}`);
  }
  return { options: parsed as Parsed<S>, problems };
}

/**
 * The same, where all of them have to be right.
 * @throws InputError naming the flag, or the file, line and key, with the value and what is wrong with it.
 */
export function parseOptions<S extends OptionSpecs>(
  specs: S,
  given: Readonly<Record<string, unknown>>,
  context: ParseContext = {},
): Parsed<S> {
  const { options, problems } = readOptions(specs, given, context);
  if (problems[0] !== undefined) throw new InputError(problems[0]);
  return options;
}

interface ReadEntries {
  readonly entries: ConfigEntries;
  readonly problems: readonly string[];
}

const NO_ENTRIES: ReadEntries = { entries: new Map(), problems: [] };

function readEntries(
  file: string,
  known: readonly string[],
  task: unknown,
  { command, note, ownersOf }: ParseContext,
): ReadEntries {
  try {
    const config = readConfig(file);
    const published = command === undefined ? undefined : publishedKeys[command];
    if (published === undefined || !isPublished(config, known, published)) {
      const problems = unknownKeys(config, { known, ownersOf }).map(({ message }) => message);
      return { entries: config.entries, problems };
    }
    const entries = fromPublished(config, {
      known,
      ownersOf,
      published,
      task: typeof task === "string" ? task : undefined,
      note,
    });
    return { entries, problems: [] };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { ...NO_ENTRIES, problems: [error.message] };
  }
}
