import { clearScreenDown, moveCursor } from "node:readline";

/** Lines at the end of a terminal that are drawn again in place. */
export class LiveLines {
  readonly #stream: NodeJS.WriteStream;
  #drawn = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  /** Shows these lines in the place of those before; as many as fit, each cut to the width. */
  draw(lines: readonly string[]): void {
    const { columns = 80, rows = 24 } = this.#stream;
    const most = Math.max(1, rows - 1);
    const hidden = lines.length - most;
    const shown = hidden > 0 ? [...lines.slice(0, most - 1), `… and ${hidden + 1} more`] : lines;
    this.#erase();
    for (const line of shown) this.#stream.write(`${[...line].slice(0, columns - 1).join("")}\n`);
    this.#drawn = shown.length;
  }

  /** Writes a line that stays above those that are drawn again. */
  write(line: string): void {
    this.#erase();
    this.#stream.write(`${line}\n`);
  }

  #erase(): void {
    if (this.#drawn > 0) moveCursor(this.#stream, 0, -this.#drawn);
    clearScreenDown(this.#stream);
    this.#drawn = 0;
  }
}
