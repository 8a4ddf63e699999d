import { Option } from "commander";
import { z } from "zod";
import type { Task } from "../../proto/operations.ts";

/**
 * One option of a command. Its name in a `--config` file is the flag's with underscores (`--trigger-len` → `trigger_len`), in code
 * the same in camel case. Flags without a value are booleans; defaults live in the schema.
 */
export interface OptionSpec<T = unknown> {
  /** As shown in `--help`: `--trigger-len <tokens>`. */
  readonly flag: string;
  readonly describe: string;
  readonly schema: z.ZodType<T>;
  /** The value is a path: a command that runs elsewhere gets it absolute. */
  readonly isPath?: true;
  /** Heading in `--help` that it stands under. */
  readonly group?: string;
  /** What its absence means, for `--help`, where the schema does not say it. */
  readonly shownDefault?: string;
  /** May stand several times; its value is a list. */
  readonly isRepeatable?: true;
  /** Stands in its place on the command line, without a flag: `<file>`, `[job...]`. */
  readonly isArgument?: true;
  /** Tasks that it has a meaning in; absent: all. */
  readonly tasks?: readonly Task[];
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

/** What a command gets: the parsed value of each of its options. */
export type Parsed<S extends OptionSpecs> = {
  readonly [K in keyof S]: S[K] extends OptionSpec<infer T> ? T : never;
};

export function option<T>(
  flag: string,
  describe: string,
  schema: z.ZodType<T>,
  shownDefault?: string,
): OptionSpec<T> {
  return { flag, describe, schema, ...(shownDefault === undefined ? {} : { shownDefault }) };
}

/** An option that has a meaning in some tasks only; `refuseForeignOptions` refuses it in others. It must be one that may be left out. */
export const onlyFor = <T>(tasks: readonly Task[], spec: OptionSpec<T>): OptionSpec<T> => ({
  ...spec,
  tasks,
});

/** The same options under one heading of `--help`. */
export function grouped<S extends OptionSpecs>(heading: string, specs: S): S {
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [name, { ...spec, group: `${heading}:` }]),
  ) as unknown as S;
}

/** `triggerLen` → `trigger_len`, the key in a `--config` file. */
export const configKeyOf = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Settings with the keys that a `--config` file has: how reports name them. */
export const withConfigKeys = (settings: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [configKeyOf(name), value]));

/** What a user gave: a schema then fills in its own defaults. */
export const withoutAbsent = (given: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));

/** `triggerLen` → `--trigger-len`. */
export const flagNameOf = (spec: OptionSpec): string => spec.flag.split(/[ ,]/)[0] ?? spec.flag;

/** The value that a schema gives for an absent option, as text for `--help`; undefined where there is none. */
export function defaultTextOf(schema: z.ZodType): string | undefined {
  const parsed = schema.safeParse(undefined);
  if (!parsed.success || parsed.data === undefined || parsed.data === false) return undefined;
  return Array.isArray(parsed.data) ? parsed.data.join(",") : String(parsed.data);
}

/** The words that an option takes, where it takes one of a few. */
function choicesOf(schema: z.ZodType): readonly string[] | undefined {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodOptional) {
    return choicesOf(schema.def.innerType as z.ZodType);
  }
  return schema instanceof z.ZodEnum ? schema.options.map(String) : undefined;
}

/** What stands behind an option's description in `--help`: `(all, one; default: all)`, `(required)`. */
function notesOf({ schema, shownDefault }: OptionSpec): string {
  const choices = choicesOf(schema);
  const fallback = shownDefault ?? defaultTextOf(schema);
  const notes = [
    ...(choices === undefined ? [] : [choices.join(", ")]),
    ...(fallback === undefined ? [] : [`default: ${fallback}`]),
    ...(schema.safeParse(undefined).success ? [] : ["required"]),
  ];
  return notes.length === 0 ? "" : ` (${notes.join("; ")})`;
}

/** The commander option of a spec. Values stay strings here; `parseOptions` gives them their types. */
export function commanderOption(spec: OptionSpec): Option {
  const made = new Option(spec.flag, `${spec.describe}${notesOf(spec)}`);
  if (spec.isRepeatable) {
    made.argParser((value: string, before: readonly string[] | undefined) => [...(before ?? []), value]);
  }
  return spec.group === undefined ? made : made.helpGroup(spec.group);
}

const number = (text: unknown): unknown =>
  typeof text === "string" && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;

/** A whole number in [min, max], from the command line's text or a config's number. */
export const wholeNumber = (min: number, max = Number.MAX_SAFE_INTEGER) =>
  z.preprocess(
    number,
    z
      .number({ error: "must be a number" })
      .int("must be a whole number")
      .min(min, `must be at least ${min}`)
      .max(max, `must be at most ${max}`),
  ) as unknown as z.ZodType<number>;

/** A number in [min, max]. */
export const realNumber = (min: number, max = Number.POSITIVE_INFINITY) =>
  z.preprocess(
    number,
    z
      .number({ error: "must be a number" })
      .min(min, `must be at least ${min}`)
      .max(max, `must be at most ${max}`),
  ) as unknown as z.ZodType<number>;

/** A number above 0. */
export const positiveNumber = z.preprocess(
  number,
  z.number({ error: "must be a number" }).gt(0, "must be more than 0"),
) as unknown as z.ZodType<number>;

/** One of the given words. */
export const oneOf = <const W extends readonly [string, ...string[]]>(...words: W) =>
  z.enum(words, { error: `must be one of ${words.join(", ")}` });

export const text = z.string({ error: "must be text" }).min(1, "must not be empty");

/** An address that something listens at or dials: `host:port`, or `unix:path`. */
export const hostPort = text
  .regex(/^(unix:.+|\S+:\d{1,5})$/, "must be host:port")
  .refine(havePorts, "a port is at most 65535");

/** Several of them, separated by commas. */
export const hostPorts = text
  .regex(
    /^\s*(unix:[^\s,]+|[^\s,]+:\d{1,5})\s*(,\s*(unix:[^\s,]+|[^\s,]+:\d{1,5})\s*)*$/,
    "must be host:port, or several separated by commas",
  )
  .refine(havePorts, "a port is at most 65535");

/** Whether no address has a number behind it that is no port. */
function havePorts(addresses: string): boolean {
  return addresses.split(",").every((address) => {
    const port = /^(?!unix:).*:(\d+)\s*$/.exec(address.trim())?.[1];
    return port === undefined || Number(port) <= 65_535;
  });
}

/** An option whose value is a path; `~` is the shell's business. */
export const pathOption = (flag: string, describe: string): OptionSpec<string> => ({
  flag,
  describe,
  schema: text,
  isPath: true,
});

/** What stands in a place of its own on the command line: `<name>`, or `[name]` where it may be left out, with `...` a list. */
export const argument = <T>(place: string, describe: string, schema: z.ZodType<T>): OptionSpec<T> => ({
  ...option(place, describe, schema),
  isArgument: true,
});

/** A path that may be left out. */
export const optionalPath = (
  flag: string,
  describe: string,
  shownDefault?: string,
): OptionSpec<string | undefined> => ({
  ...option(flag, describe, text.optional(), shownDefault),
  isPath: true,
});

/** Paths separated by commas, or a YAML list of them. */
export const pathList = z.preprocess(
  (value) => (typeof value === "string" ? value.split(",").map((part) => part.trim()) : value),
  z.array(text).min(1, "must not be empty"),
) as unknown as z.ZodType<readonly string[]>;

/** A switch: true where the flag stands, or the config says `true`. */
export const flag = z.boolean({ error: "must be true or false" }).default(false);

/** True or false as a word, where the default is not false: `--attack-fixed false`. */
export const truth = z.preprocess(
  (value) => (value === "true" ? true : value === "false" ? false : value),
  z.boolean({ error: "must be true or false" }),
) as unknown as z.ZodType<boolean>;

/** Comma-separated whole numbers, or a YAML list of them. */
export const idList = z.preprocess(
  (value) => (typeof value === "string" ? value.split(",").map((part) => number(part.trim())) : value),
  z
    .array(z.number({ error: "must be whole numbers, separated by commas" }).int().min(0))
    .min(1, "must not be empty"),
) as unknown as z.ZodType<number[]>;

/** An option that may stand several times: texts in their order; a single one, or a YAML list, in a config. */
export const repeatedText = (flagText: string, describe: string): OptionSpec<string[] | undefined> => ({
  ...option(
    flagText,
    describe,
    z.preprocess(
      (value) => (typeof value === "string" ? [value] : value),
      z.array(text, { error: "must be text" }).min(1, "must not be empty").optional(),
    ) as unknown as z.ZodType<string[] | undefined>,
  ),
  isRepeatable: true,
});
