/** A place in source as a tree-sitter tree has it: row from 0, column in UTF-16 units. */
export interface Point {
  readonly row: number;
  readonly column: number;
}

/**
 * Text between places of source, as the published code cuts it: its trees count columns in bytes of UTF-8, but it cuts lines of characters
 * with them. On a line with a non-ASCII character everything behind that character so comes out shifted; models were trained on that.
 */
export class CodeLines {
  readonly #lines: readonly string[];
  /** By row: how a line that is not ASCII is cut. */
  readonly #shifted = new Map<number, ShiftedLine | undefined>();

  constructor(source: string) {
    this.#lines = source.split("\n");
  }

  /** From `start` to `end`, without the line breaks between them. */
  cut(start: Point, end: Point): string {
    if (start.row === end.row) return this.#slice(start.row, start.column, end.column);
    const between = this.#lines.slice(start.row + 1, end.row);
    return [this.#slice(start.row, start.column), ...between, this.#slice(end.row, 0, end.column)].join("");
  }

  #slice(row: number, start: number, end?: number): string {
    const text = this.#lines[row]!;
    if (!this.#shifted.has(row)) this.#shifted.set(row, isAscii(text) ? undefined : shiftedLine(text));
    const shifted = this.#shifted.get(row);
    if (!shifted) return text.slice(start, end);
    const { characters, bytesBefore } = shifted;
    return characters.slice(bytesBefore[start], end === undefined ? undefined : bytesBefore[end]).join("");
  }
}

interface ShiftedLine {
  readonly characters: readonly string[];
  /** By column in UTF-16 units: bytes of UTF-8 before it. */
  readonly bytesBefore: readonly number[];
}

const isAscii = (text: string): boolean => !/[^\0-\x7f]/.test(text);

function shiftedLine(text: string): ShiftedLine {
  const characters = [...text];
  const bytesBefore = [0];
  for (const each of characters) {
    const end = bytesBefore.at(-1)! + Buffer.byteLength(each);
    for (let unit = 0; unit < each.length; unit++) bytesBefore.push(end);
  }
  return { characters, bytesBefore };
}
