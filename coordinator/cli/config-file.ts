import { distance } from "fastest-levenshtein";
import { isMap, isScalar, LineCounter, parseDocument } from "yaml";
import { InputError } from "./errors.ts";
import { readInputFile } from "./input-file.ts";

/** A key's value in a config file, and the line where it stands (from 1). */
export interface ConfigEntry {
  readonly value: unknown;
  readonly line: number;
}

/** The known word nearest to a misspelt one, for an error's hint; undefined where none is near. */
export function suggestionFor(word: string, known: readonly string[]): string | undefined {
  const nearest = [...known].sort((a, b) => distance(word, a) - distance(word, b))[0];
  return nearest !== undefined && distance(word, nearest) <= Math.max(2, word.length / 3)
    ? nearest
    : undefined;
}

/**
 * Reads a `--config` file: one flat YAML map of option keys.
 *
 * @throws InputError naming file and line where it is no YAML, no map, or has a key that is not in `known`.
 */
export function readConfig(file: string, known: readonly string[]): ReadonlyMap<string, ConfigEntry> {
  const text = readInputFile("--config ", file);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const broken = document.errors[0];
  if (broken)
    throw new InputError(
      `${file} line ${lines.linePos(broken.pos[0]).line}: ${broken.message.split("\n")[0]}`,
    );
  const entries = new Map<string, ConfigEntry>();
  if (document.contents === null) return entries;
  if (!isMap(document.contents)) throw new InputError(`${file}: must be a YAML map of options`);
  for (const pair of document.contents.items) {
    const key = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
    const range = isScalar(pair.key) ? pair.key.range : null;
    const line = range ? lines.linePos(range[0]).line : 1;
    if (!known.includes(key)) {
      const suggestion = suggestionFor(key, known);
      throw new InputError(
        `${file} line ${line}: unknown key '${key}'${suggestion ? ` (did you mean '${suggestion}'?)` : `; known keys: ${known.join(", ")}`}`,
      );
    }
    entries.set(key, { value: document.toJS()[key], line });
  }
  return entries;
}
