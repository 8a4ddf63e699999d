import { printable } from "../../proto/json-text.ts";

/** A checkpoint that elibad cannot compute with: names the file, the field or tensor, what was found and what was expected. */
export class ModelError extends Error {
  override readonly name = "ModelError";
  /** File inside the checkpoint folder. */
  readonly file: string;
  /** Key of the configuration, or name of the tensor. */
  readonly field: string;

  constructor(file: string, field: string, reason: string) {
    super(`${file}: ${short(field, 200)}: ${short(reason, 1_000)}`);
    this.file = file;
    this.field = field;
  }
}

/** Text of a file, which may have any length and hold anything. */
const short = (text: string, most: number): string =>
  printable(text.length <= most ? text : `${text.slice(0, most)}…`);
