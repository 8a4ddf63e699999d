import { distance } from "fastest-levenshtein";
import { isMap, type YAMLMap } from "yaml";
import { InputError } from "./errors.ts";
import type { KeyOwners } from "./key-owners.ts";
import { keyOf, readYaml } from "./yaml-file.ts";

/** A key's value in a config file, and the line where it stands (from 1). */
export interface ConfigEntry {
  readonly value: unknown;
  readonly line: number;
}

export type ConfigEntries = ReadonlyMap<string, ConfigEntry>;

/** The known word nearest to a misspelt one, for an error's hint; undefined where none is near. */
export function suggestionFor(word: string, known: readonly string[]): string | undefined {
  const nearest = [...known].sort((a, b) => distance(word, a) - distance(word, b))[0];
  return nearest !== undefined && distance(word, nearest) <= Math.max(2, word.length / 3)
    ? nearest
    : undefined;
}

/** What a config file says: its own keys, and those of the maps in it (published settings have one for each task). */
export interface ConfigFile {
  readonly file: string;
  readonly entries: ConfigEntries;
  readonly sections: ReadonlyMap<string, ConfigEntries>;
}

/** Reads a `--config` file. @throws InputError naming file and line where it is no YAML or no map */
export function readConfig(file: string): ConfigFile {
  const { document, lineOf } = readYaml("--config ", file);
  const { contents } = document;
  if (contents === null) return { file, entries: new Map(), sections: new Map() };
  if (!isMap(contents)) throw new InputError(`${file}: must be a YAML map of options`);
  const entriesOf = (map: YAMLMap, path: readonly string[]): ConfigEntries =>
    new Map(
      map.items.map((pair) => {
        const { value } = pair;
        const plain =
          value === null ? null : (value as { toJS(of: typeof document): unknown }).toJS(document);
        return [keyOf(pair), { value: plain, line: lineOf([...path, keyOf(pair)]) }];
      }),
    );
  const sections = contents.items.flatMap((pair): [string, ConfigEntries][] =>
    isMap(pair.value) ? [[keyOf(pair), entriesOf(pair.value, [keyOf(pair)])]] : [],
  );
  return { file, entries: entriesOf(contents, []), sections: new Map(sections) };
}

/** The keys that a command knows, and which commands know another one. */
export interface KnownKeys {
  readonly known: readonly string[];
  readonly ownersOf?: KeyOwners | undefined;
}

/** What is wrong with the keys of a file that a command does not know: file, line and key, in the file's order. */
export function unknownKeys({ file, entries }: ConfigFile, keys: KnownKeys): InputError[] {
  return [...entries]
    .filter(([key]) => !keys.known.includes(key))
    .map(([key, { line }]) => unknownKey(file, key, line, keys));
}

export function unknownKey(
  file: string,
  key: string,
  line: number,
  { known, ownersOf }: KnownKeys,
): InputError {
  const owners = ownersOf?.(key) ?? [];
  const suggestion = suggestionFor(key, known);
  const hint =
    owners.length > 0
      ? `; it belongs to elibad ${owners.join(", ")}`
      : suggestion
        ? ` (did you mean '${suggestion}'?)`
        : `; known keys: ${known.join(", ")}`;
  return new InputError(`${file} line ${line}: unknown key '${key}'${hint}`);
}
