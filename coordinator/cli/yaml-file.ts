import { type Document, isMap, isScalar, isSeq, LineCounter, type Pair, parseDocument, visit } from "yaml";
import { InputError } from "./errors.ts";
import { readInputFile } from "./input-file.ts";
import { requireBoundedYaml } from "./yaml-bounds.ts";

/** A YAML document that knows where in its file everything stands. */
export interface YamlFile {
  readonly file: string;
  readonly document: Document;
  /** What it says, as plain values. */
  readonly value: unknown;
  /** Line, from 1, of the key or list item that a path of keys and indexes leads to; of the nearest thing above it where it is not there. */
  lineOf(path: readonly PropertyKey[]): number;
}

/** Text of a pair's key. */
export const keyOf = ({ key }: Pair): string => (isScalar(key) ? String(key.value) : String(key));

/** Reads a YAML file. @param place what names it, for errors @throws InputError naming file and line where it is no YAML */
export const readYaml = (place: string, file: string): YamlFile =>
  parseYaml(file, readInputFile(place, file));

/** A YAML file whose text is at hand. @throws InputError naming file and line where it is no YAML */
export function parseYaml(file: string, text: string): YamlFile {
  requireBoundedYaml(file, text);
  const lines = new LineCounter();
  // The library compares every key with every other one, and draws a picture of every error.
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, prettyErrors: false });
  const broken = document.errors[0] ?? repeatedKey(document);
  if (broken)
    throw new InputError(
      `${file} line ${lines.linePos(broken.pos[0]).line}: ${broken.message.split("\n")[0]}`,
    );
  return {
    file,
    document,
    value: plainValue(file, document),
    lineOf(path) {
      let at = 0;
      let node: unknown = document.contents;
      for (const part of path) {
        const [place, next] = stepInto(node, part);
        const range = (place as { readonly range?: readonly number[] | null } | undefined)?.range;
        if (range?.[0] === undefined) break;
        at = range[0];
        node = next;
      }
      return lines.linePos(at).line;
    },
  };
}

/** @throws InputError where an alias names an anchor that is not before it, or stands inside of it */
function plainValue(file: string, document: Document): unknown {
  try {
    return document.toJS();
  } catch (error) {
    throw new InputError(`${file}: ${(error as Error).message.split("\n")[0]!.slice(0, 200)}`);
  }
}

/** The first key that its map has already. */
function repeatedKey(
  document: Document,
): { readonly pos: readonly [number]; readonly message: string } | undefined {
  let found: { readonly pos: readonly [number]; readonly message: string } | undefined;
  visit(document, {
    Map(_, map) {
      const keys = new Set<string>();
      for (const pair of map.items) {
        const key = keyOf(pair);
        if (keys.has(key)) {
          const { range } = pair.key as { readonly range?: readonly [number, number, number] | null };
          found = {
            pos: [range?.[0] ?? 0],
            message: `Map keys must be unique: '${key.slice(0, 100)}' is there twice`,
          };
          return visit.BREAK;
        }
        keys.add(key);
      }
      return undefined;
    },
  });
  return found;
}

/** Where a key or index stands, and what is under it. */
function stepInto(node: unknown, part: PropertyKey): readonly [unknown, unknown] {
  if (isMap(node)) {
    const pair = node.items.find((each) => keyOf(each) === String(part));
    return [pair?.key, pair?.value];
  }
  const item = isSeq(node) ? node.items[Number(part)] : undefined;
  return [item, item];
}
