/** Inputs that are JSON, made from the valid ones of the corpus. */
import fc from "fast-check";
import { validOf } from "../corpus.ts";
import type { Files } from "../parser.ts";
import { byteChanges, changedFile } from "./bytes.ts";
import { changedJson, type Json, jsonChanges, jsonOf, jsonText } from "./json.ts";

/** A valid input whose JSON files are trees. */
interface Seed {
  readonly files: Files;
  readonly trees: readonly (readonly [string, Json])[];
}

/** @param isJson which of the files are trees; the others stay, but for their bytes */
export function jsonInputs(
  parser: string,
  isJson = (name: string) => name.endsWith(".json"),
): fc.Arbitrary<Files> {
  const seeds = validOf(parser).map((files): Seed => {
    const names = Object.keys(files).filter(isJson);
    const trees = names.map(
      (name) => [name, jsonOf(JSON.parse(Buffer.from(files[name]!).toString("utf8")))] as const,
    );
    return { files, trees };
  });
  return fc
    .record({ seed: fc.nat(seeds.length - 1), file: fc.nat(5), changes: jsonChanges, bytes: byteChanges })
    .map(({ seed, file, changes, bytes }) => {
      const { files, trees } = seeds[seed]!;
      const [name, tree] = trees[file % trees.length]!;
      const changed = { ...files, [name]: Buffer.from(jsonText(changedJson(tree, changes))) };
      return changedFile(changed, file, bytes);
    });
}
