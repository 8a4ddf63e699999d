import type { Task } from "../../proto/operations.ts";
import { type CleanOptions, cleanOptions } from "./clean-options.ts";
import { generalOptions } from "./common-options.ts";
import { unknownKey } from "./config-file.ts";
import { InputError } from "./errors.ts";
import { configKeyOf, type OptionSpec, type OptionSpecs } from "./options.ts";
import { parseOptions } from "./parse-options.ts";
import { checkRepairOptions } from "./repair-options.ts";
import { absoluteSource } from "./sweep-sources.ts";
import { refuseForeignOptions } from "./task-options.ts";

/** What a sweep says itself, or does not leave to its user: one folder for all results, one cluster. */
const OWN = [...["model", "task", "base", "samples", "heldOut", "out"], ...Object.keys(generalOptions)];

const specs: OptionSpecs = cleanOptions;
const keysOf = (names: readonly string[]): ReadonlyMap<string, string> =>
  new Map(names.map((name) => [configKeyOf(name), name]));

/** Whether an option of a job, by its name in code, is a file or folder. */
export const isPathOption = (name: string): boolean => specs[name]?.isPath === true;

/** Names of options by their keys: what `settings` may hold. */
export const settingKeys = keysOf(Object.keys(specs).filter((name) => !OWN.includes(name)));

/** What an override may hold beside settings. */
export const overrideKeys = new Map([...settingKeys, ...keysOf(["base", "samples", "heldOut"])]);

/** Name in code of the option that a key sets. */
export const optionOfKey = (key: string): string | undefined => overrideKeys.get(key);

/** A map of settings in a sweep file, and where each of its keys stands. */
export interface SettingsSection {
  readonly file: string;
  /** `settings`, or an override's pattern. */
  readonly title: string;
  readonly values: Readonly<Record<string, unknown>>;
  /** What relative paths are relative to. */
  readonly folder: string;
  lineOf(key: string): number;
}

/**
 * Options of a section, by their names in code, as JSON; paths absolute. A null takes the default.
 *
 * @throws InputError naming file, line and key
 */
export function parseSettings(
  { file, title, values, folder, lineOf }: SettingsSection,
  keys: ReadonlyMap<string, string>,
  task: Task,
): Record<string, never> {
  const parsed: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    const line = lineOf(key);
    const name = keys.get(key);
    if (name === undefined) throw unknownKey(file, key, line, { known: [...keys.keys()] });
    const spec = specs[name]!;
    const place = `${file} line ${line}: ${title}: ${key} ${JSON.stringify(value)}`;
    if (value !== null && spec.tasks !== undefined && !spec.tasks.includes(task))
      throw new InputError(`${place}: has no meaning for task ${task}`);
    parsed[name] = parseSetting(spec, value, { place, folder });
  }
  return parsed as Record<string, never>;
}

function parseSetting(
  spec: OptionSpec,
  value: unknown,
  { place, folder }: { readonly place: string; readonly folder: string },
): unknown {
  if (value === null) return null;
  const result = spec.schema.safeParse(value);
  if (!result.success) throw new InputError(`${place}: ${result.error.issues[0]?.message ?? "is not valid"}`);
  return spec.isPath && typeof result.data === "string"
    ? absoluteSource(place, result.data, folder)
    : result.data;
}

/**
 * All options of `elibad clean` for one job, defaults filled in.
 *
 * @param options by names in code, as `jobOptions` gives them; a null takes the default
 * @throws InputError where they do not fit each other
 */
export function cleanOptionsOf(options: Readonly<Record<string, unknown>>, out: string): CleanOptions {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(specs, name));
  if (unknown !== undefined) throw new InputError(`there is no setting '${configKeyOf(unknown)}'`);
  const given = Object.entries({ ...options, out }).filter(([, value]) => value !== null);
  const parsed: CleanOptions = parseOptions(cleanOptions, Object.fromEntries(given));
  refuseForeignOptions(parsed, specs);
  checkRepairOptions(parsed);
  return parsed;
}
