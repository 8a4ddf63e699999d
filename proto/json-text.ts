/** JSON and other text that comes from elsewhere: bounds before it is read, and how it is shown. */

/** Brackets within brackets, far above what any file that elibad reads has; what calls itself for each level, as `JSON.stringify` does, must not run out of stack. */
const MAX_DEPTH = 100;

/** Values in it, about: each takes some tens of bytes once it is read, whatever it took as text. Far above any file, too; of one line, where a file has many. */
const MAX_VALUES = 2_000_000;

/** JSON that has more in it than anything that elibad reads: the message says what. */
export class JsonLimitError extends SyntaxError {
  override readonly name = "JsonLimitError";
}

/** `JSON.parse` within limits. @throws SyntaxError with what is wrong, printable; JsonLimitError */
export function parseJson(text: string, { values = MAX_VALUES } = {}): unknown {
  requireLimits(text, values);
  try {
    return JSON.parse(text);
  } catch (cause) {
    // V8 quotes what it found.
    throw new SyntaxError(printable((cause as Error).message), { cause });
  }
}

/** Counts brackets and commas outside of strings; text that is no JSON passes, or is refused for what it has of them. */
function requireLimits(text: string, values: number): void {
  let open = 0;
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = endOfString(text, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++open > MAX_DEPTH)
          throw new JsonLimitError(`has brackets within brackets, more than ${MAX_DEPTH} deep`);
        count++;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        open--;
        break;
      case 0x2c: // ,
        count++;
    }
    if (count > values) throw new JsonLimitError(`has more than ${values} values`);
  }
}

/** Where the string that begins at `start` ends, or the text where it does not. */
export function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

/** Text without what a terminal would obey, or would show in another order than it stands in: those characters escaped as in JSON. */
export const printable = (text: string): string =>
  text.replace(
    /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
