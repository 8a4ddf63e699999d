import type { Files } from "./parser.ts";

/** Files as JSON: base64 by name. */
export type EncodedFiles = Readonly<Record<string, string>>;

export const filesTo = (files: Files): EncodedFiles =>
  Object.fromEntries(
    Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")]),
  );

export const filesFrom = (files: EncodedFiles): Files =>
  Object.fromEntries(Object.entries(files).map(([name, text]) => [name, Buffer.from(text, "base64")]));
