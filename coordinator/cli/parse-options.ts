import { type ConfigEntries, knownEntries, readConfig } from "./config-file.ts";
import { InputError } from "./errors.ts";
import type { KeyOwners } from "./key-owners.ts";
import { configKeyOf, flagNameOf, type OptionSpec, type OptionSpecs, type Parsed } from "./options.ts";
import { fromPublished, isPublished } from "./published-config.ts";
import { publishedKeys } from "./published-keys.ts";

/** Whose options they are, for settings of the published code, and where a line about those goes. */
export interface ParseContext {
  /** Name of the command. */
  readonly command?: string;
  readonly note?: (line: string) => void;
  readonly ownersOf?: KeyOwners;
}

/**
 * Options of a command from its command line and, where `--config` names one, a YAML file of its options or of the published code's
 * settings; the command line wins.
 *
 * @param given what commander read: camel-case names, values still text (or true for a switch).
 * @throws InputError naming the flag, or the file, line and key, with the value and what is wrong with it.
 */
export function parseOptions<S extends OptionSpecs>(
  specs: S,
  given: Readonly<Record<string, unknown>>,
  context: ParseContext = {},
): Parsed<S> {
  const names = Object.keys(specs);
  const configFile = typeof given.config === "string" ? given.config : undefined;
  const known = names.filter((name) => name !== "config").map(configKeyOf);
  const config = configFile ? readEntries(configFile, known, given.task, context) : new Map<string, never>();
  const parsed: Record<string, unknown> = {};
  for (const name of names) {
    const spec = specs[name] as OptionSpec;
    const entry = config.get(configKeyOf(name)) as { value: unknown; line: number } | undefined;
    const fromLine = given[name] !== undefined;
    const value = fromLine ? given[name] : entry?.value === null ? undefined : entry?.value;
    const result = spec.schema.safeParse(value);
    if (result.success) {
      parsed[name] = result.data;
      continue;
    }
    const problem = result.error.issues[0]?.message ?? "is not valid";
    if (value === undefined) throw new InputError(`${flagNameOf(spec)} is missing: ${spec.describe}`);
    const where =
      fromLine || !entry ? flagNameOf(spec) : `${configFile} line ${entry.line}: ${configKeyOf(name)}`;
    throw new InputError(`${where} ${JSON.stringify(value)}: ${problem}`);
  }
  return parsed as Parsed<S>;
}

function readEntries(
  file: string,
  known: readonly string[],
  task: unknown,
  { command, note, ownersOf }: ParseContext,
): ConfigEntries {
  const config = readConfig(file);
  const published = command === undefined ? undefined : publishedKeys[command];
  if (published === undefined || !isPublished(config, known, published))
    return knownEntries(config, { known, ownersOf });
  return fromPublished(config, {
    known,
    ownersOf,
    published,
    task: typeof task === "string" ? task : undefined,
    note,
  });
}
