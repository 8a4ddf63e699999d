/**
 * What Python takes for a blank, since the reference values come from Python. JavaScript's `\s` and `trim` differ:
 * they include U+FEFF and leave out U+0085 and U+001C to U+001F.
 */

const whiteSpaceClass = "\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

/** Inside of a character class: `str.isspace` (what `strip` and `split` go by). */
export const pythonBlankClass = `${whiteSpaceClass}\\x1c-\\x1f`;

/** Inside of a character class: `\s` of Python's `regex` module (Unicode White_Space), which splits texts for byte-pair encoding. */
export const regexBlankClass = whiteSpaceClass;

const blanks = new RegExp(`[${pythonBlankClass}]+`, "u");
const blanksBefore = new RegExp(`^[${pythonBlankClass}]+`, "u");
const blanksAfter = new RegExp(`[${pythonBlankClass}]+$`, "u");

export const stripStart = (text: string): string => text.replace(blanksBefore, "");
export const stripEnd = (text: string): string => text.replace(blanksAfter, "");

/** Python's `text.split()`: the words between runs of blanks. */
export const words = (text: string): string[] => text.split(blanks).filter((word) => word !== "");
