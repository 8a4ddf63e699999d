import type { Language } from "../dead-code.ts";
import { SamplesError } from "../errors.ts";
import type { FileRecord } from "./read-records.ts";

export const languages = ["cpp", "java", "python"] as const satisfies readonly Language[];

/** The text in the first of some fields that a record has. @throws SamplesError where it has none of them, or no text there */
export function textField({ place, value }: FileRecord, ...names: readonly [string, ...string[]]): string {
  const field = names.find((name) => value[name] !== undefined && value[name] !== null);
  if (field === undefined) {
    throw new SamplesError(`has no field ${names.map((name) => `"${name}"`).join(" or ")}`, place);
  }
  const text = value[field];
  if (typeof text !== "string") throw new SamplesError("expected a string", { ...place, field, value: text });
  return text;
}

/** `idx` as text, as the published code writes it; `fallback` where the record has none. */
export function idField({ place, value: { idx } }: FileRecord, fallback?: number): string {
  if (idx === undefined && fallback !== undefined) return String(fallback);
  if (typeof idx === "string" || Number.isInteger(idx)) return String(idx);
  if (idx === undefined) throw new SamplesError('has no field "idx"', place);
  throw new SamplesError("expected text or a whole number", { ...place, field: "idx", value: idx });
}

/** A whole number from 0 in the first of some fields that a record has. */
export function labelField({ place, value }: FileRecord, ...names: readonly [string, ...string[]]): number {
  const field = names.find((name) => value[name] !== undefined);
  if (field === undefined) {
    throw new SamplesError(`has no field ${names.map((name) => `"${name}"`).join(" or ")}`, place);
  }
  const label = typeof value[field] === "string" ? Number(value[field] || Number.NaN) : value[field];
  if (typeof label === "number" && Number.isInteger(label) && label >= 0) return label;
  throw new SamplesError("expected a whole number from 0", { ...place, field, value: value[field] });
}

/** The record's own language, else `fallback`. @throws SamplesError for a language without a grammar here */
export function languageField({ place, value: { language } }: FileRecord, fallback: Language): Language {
  if (language === undefined || language === null) return fallback;
  const known = languages.find((each) => each === language);
  if (known) return known;
  throw new SamplesError(`expected one of ${languages.join(", ")}`, {
    ...place,
    field: "language",
    value: language,
  });
}
