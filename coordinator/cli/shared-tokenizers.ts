import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { canonicalJson } from "../../proto/canonical-json.ts";
import { loadTokenizer, type Tokenizer, type TokenizerOptions } from "../data/tokenizer.ts";

/** Tokenizers that somebody in this process still uses. */
const inUse = new Map<string, WeakRef<Tokenizer>>();

/**
 * The tokenizer of a folder, one for all who ask for it while its files stay the same: it takes some 20 MB, and a coordinator runs many commands.
 *
 * @throws what `loadTokenizer` throws
 */
export function sharedTokenizer(folder: string, options: TokenizerOptions): Tokenizer {
  const key = canonicalJson({ folder, options: { ...options }, files: filesOf(folder) });
  const known = inUse.get(key)?.deref();
  if (known) return known;
  for (const [each, tokenizer] of inUse) if (tokenizer.deref() === undefined) inUse.delete(each);
  const loaded = loadTokenizer(folder, options);
  inUse.set(key, new WeakRef(loaded));
  return loaded;
}

/** What changes when a file does. */
function filesOf(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => /\.(json|txt)$/.test(name));
  return names.sort().map((name) => {
    const { size, mtimeMs, ino } = statSync(join(folder, name));
    return `${name} ${ino} ${size} ${mtimeMs}`;
  });
}
