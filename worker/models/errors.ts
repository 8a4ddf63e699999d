/** A checkpoint that elibad cannot compute with: names the file, the field or tensor, what was found and what was expected. */
export class ModelError extends Error {
  override readonly name = "ModelError";
  /** File inside the checkpoint folder. */
  readonly file: string;
  /** Key of the configuration, or name of the tensor. */
  readonly field: string;

  constructor(file: string, field: string, reason: string) {
    super(`${file}: ${field}: ${reason}`);
    this.file = file;
    this.field = field;
  }
}
