import { readConfig } from "./config-file.ts";
import { InputError } from "./errors.ts";
import { configKeyOf, flagNameOf, type OptionSpec, type OptionSpecs, type Parsed } from "./options.ts";

/**
 * Options of a command from its command line and, where `--config` names one, a YAML file; the command line wins.
 *
 * @param given what commander read: camel-case names, values still text (or true for a switch).
 * @throws InputError naming the flag, or the file, line and key, with the value and what is wrong with it.
 */
export function parseOptions<S extends OptionSpecs>(
  specs: S,
  given: Readonly<Record<string, unknown>>,
): Parsed<S> {
  const names = Object.keys(specs);
  const configFile = typeof given.config === "string" ? given.config : undefined;
  const known = names.filter((name) => name !== "config").map(configKeyOf);
  const config = configFile ? readConfig(configFile, known) : new Map<string, never>();
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
