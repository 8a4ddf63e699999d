import { InputError } from "./errors.ts";
import { readInputFile } from "./input-file.ts";

/**
 * What a file holds that may be exchanged while the program runs: it is read now, and again at each call. Where it cannot be used any more, what it held before stays.
 *
 * @param parse throws an Error that says what is wrong with the text
 * @throws InputError naming option and file, where it cannot be used now
 */
export function rereadFile<T>(
  flag: string,
  file: string,
  parse: (text: string) => T,
  log: (message: string) => void,
): () => T {
  const read = (): T => {
    const text = readInputFile(`${flag} `, file);
    try {
      return parse(text);
    } catch (error) {
      throw new InputError(`${flag} ${file}: ${(error as Error).message}`);
    }
  };
  let last = read();
  return () => {
    try {
      last = read();
    } catch (error) {
      log(`${(error as Error).message}; what was in it before stays in use`);
    }
    return last;
  };
}
