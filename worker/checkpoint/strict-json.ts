import { endOfString, parseJson } from "../../proto/json-text.ts";

/**
 * `parseJson` that refuses what it would let pass: bytes that are not UTF-8, and an object that names a key twice
 * (other readers may take the first where we take the last). Throws a `SyntaxError` with the position or key.
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new SyntaxError("is not valid UTF-8", { cause: error });
  }
  const value = parseJson(text);
  refuseRepeatedKeys(text);
  return value;
}

/** Walks text that `JSON.parse` accepted, so only strings and brackets need telling apart. */
function refuseRepeatedKeys(text: string): void {
  // One entry per open bracket: the keys seen so far, or undefined inside an array.
  const open: (Set<string> | undefined)[] = [];
  let expectsKey = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === "{" || char === "[") {
      open.push(char === "{" ? new Set() : undefined);
      expectsKey = char === "{";
    } else if (char === "}" || char === "]") {
      open.pop();
      expectsKey = false;
    } else if (char === ",") {
      expectsKey = open.at(-1) !== undefined;
    } else if (char === '"') {
      const end = endOfString(text, at);
      if (expectsKey) {
        const key = JSON.parse(text.slice(at, end + 1)) as string;
        const keys = open.at(-1);
        if (keys?.has(key)) throw new SyntaxError(`names the key ${JSON.stringify(key.slice(0, 200))} twice`);
        keys?.add(key);
        expectsKey = false;
      }
      at = end;
    }
  }
}

/** True for an object that is no array and not null. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
