import {
  type ConfigEntries,
  type ConfigEntry,
  type ConfigFile,
  type KnownKeys,
  unknownKey,
} from "./config-file.ts";
import { InputError } from "./errors.ts";

/** What a key of the published settings is here. */
export type Meaning =
  /** Values of elibad's options, by config key. */
  | { readonly kind: "gives"; readonly options: Readonly<Record<string, unknown>> }
  /** It changes nothing: why. */
  | { readonly kind: "ignored"; readonly why: string }
  /** It asks for something that elibad does not do. */
  | { readonly kind: "refused"; readonly why: string };

/** What stands beside a key. */
export interface PublishedContext {
  /** Task that the settings are read for, by its name in elibad. */
  readonly task: string | undefined;
  /** Values of the keys that count for that task, the section's among them. */
  readonly values: Readonly<Record<string, unknown>>;
}

export type PublishedKey = (value: unknown, context: PublishedContext) => Meaning;

/** The published settings that a command understands, by key; `task` is told first. */
export type PublishedKeys = Readonly<Record<string, PublishedKey>>;

/** Sections of the published files: one for each task, and one for each kind of model. */
const tasks = ["defect_detection", "clone_detection", "code_search"] as const;
const families = ["codebert", "codet5", "unixcoder", "starcoder"] as const;
const isTask = (name: string): boolean => (tasks as readonly string[]).includes(name);
const isFamily = (name: string): boolean => (families as readonly string[]).includes(name);

/** Whether a file holds published settings: a key that is not elibad's and is known to be theirs. */
export function isPublished(
  { entries, sections }: ConfigFile,
  known: readonly string[],
  published: PublishedKeys,
): boolean {
  return [...entries.keys()].some(
    (key) => !known.includes(key) && (Object.hasOwn(published, key) || (sections.has(key) && isTask(key))),
  );
}

/**
 * Elibad's options from published settings (wssun/EliBadCode, `configs/`): each key as its own option of the same name, or as the table
 * says. Of the sections, only that of the task and of the kind of model count.
 *
 * @param task the task where the command line names it; else the file does
 * @param note gets a line for each key that changes nothing
 * @throws InputError for a key that is in neither (and the commands that have it), or that asks for what elibad does not do: file, line, key and why
 */
export function fromPublished(
  config: ConfigFile,
  {
    published,
    task: givenTask,
    note = () => undefined,
    ...keys
  }: KnownKeys & {
    readonly published: PublishedKeys;
    readonly task: string | undefined;
    readonly note?: ((line: string) => void) | undefined;
  },
): ConfigEntries {
  const { file } = config;
  const { known } = keys;
  const task = givenTask ?? taskOf(config, published);
  const counting = entriesThatCount(config, task);
  const values = Object.fromEntries([...counting].map(([key, { value }]) => [key, value]));
  const found = new Map<string, ConfigEntry>();
  for (const [key, { value, line }] of counting) {
    if (!Object.hasOwn(published, key) && !known.includes(key)) throw unknownKey(file, key, line, keys);
    const meaning: Meaning = Object.hasOwn(published, key)
      ? published[key]!(value, { task, values })
      : { kind: "gives", options: { [key]: value } };
    if (meaning.kind === "refused") {
      throw new InputError(`${file} line ${line}: ${key} ${JSON.stringify(value)}: ${meaning.why}`);
    }
    if (meaning.kind === "ignored") {
      note(`${file} line ${line}: ${key} has no meaning here: ${meaning.why}`);
      continue;
    }
    for (const [name, given] of Object.entries(meaning.options)) {
      if (!known.includes(name)) {
        const named = name === key ? "" : ` (elsewhere '${name}')`;
        throw new InputError(`${file} line ${line}: ${key}${named} is no option of this command`);
      }
      if (!found.has(name)) found.set(name, { value: given, line });
    }
  }
  return found;
}

/** The task that a file names, as elibad calls it. */
function taskOf({ entries }: ConfigFile, published: PublishedKeys): string | undefined {
  const value = entries.get("task")?.value;
  const values = Object.fromEntries([...entries].map(([key, entry]) => [key, entry.value]));
  const meaning = published.task?.(value, { task: undefined, values });
  const told = meaning?.kind === "gives" ? meaning.options.task : value;
  return typeof told === "string" ? told : undefined;
}

/** Keys of the file and of the sections that count; the other sections are other tasks' and models'. */
function entriesThatCount({ entries, sections }: ConfigFile, task: string | undefined): ConfigEntries {
  const kind = entries.get("model_type")?.value ?? entries.get("arch_name")?.value;
  const counting = new Map<string, ConfigEntry>();
  for (const [key, entry] of entries) {
    const section = sections.get(key);
    if (section === undefined || !(isTask(key) || isFamily(key))) counting.set(key, entry);
    else if (key === task || key === kind) for (const [inner, each] of section) counting.set(inner, each);
  }
  return counting;
}
