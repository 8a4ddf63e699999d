import picomatch from "picomatch";
import { z } from "zod";
import { type JobSpec, Name, SweepSpec } from "../sweep/sweep.ts";
import { requireBoundedGlob } from "./bounded-globs.ts";
import { suggestionFor, unknownKey } from "./config-file.ts";
import { InputError, messageOf } from "./errors.ts";
import { configKeyOf, oneOf, text, withoutAbsent } from "./options.ts";
import { listEntries, type ModelEntry, resolveModels } from "./sweep-models.ts";
import { cleanOptionsOf, overrideKeys, parseSettings, settingKeys } from "./sweep-settings.ts";
import { absoluteSource } from "./sweep-sources.ts";
import type { YamlFile } from "./yaml-file.ts";

const settings = z.record(z.string(), z.json(), { error: "must be a map of settings" });
const ONE_MODEL = "must be a folder, a glob, or 'name: folder'";
/** A folder, glob, bucket or upload; with a name: a map of one key. */
const model = z.union(
  [
    text,
    z
      .record(z.string(), text)
      .refine((map) => Object.keys(map).length === 1, `${ONE_MODEL}: one in each item`),
  ],
  { error: ONE_MODEL },
);

const S3 = z.strictObject(
  {
    endpoint: z.url({ protocol: /^https?$/, error: "must be a URL of http or https" }).optional(),
    region: text.optional(),
    path_style: z.boolean({ error: "must be true or false" }).optional(),
  },
  { error: ({ code }) => (code === "invalid_type" ? "must be a map" : undefined) },
);

/** A sweep as its file says it; every key is in configs/sweep.yaml. */
const SweepFile = z
  .strictObject({
    name: Name,
    task: oneOf("defect_detection", "clone_detection", "code_search").default("defect_detection"),
    models: z.array(model, { error: "must be a list of folders and globs" }).default([]),
    list_file: text.optional(),
    base: text.optional(),
    samples: text,
    held_out: text.optional(),
    settings: settings.default({}),
    overrides: z.record(z.string(), settings, { error: "must be a map of names or globs" }).default({}),
    priority: z.int({ error: "must be a whole number" }).default(0),
    weight: z.number({ error: "must be a number" }).gt(0, "must be more than 0").default(1),
    s3: S3.optional(),
    max_parallel: z.int({ error: "must be a whole number" }).min(1, "must be at least 1").default(4),
  })
  .refine(({ models, list_file }) => models.length > 0 || list_file !== undefined, {
    path: ["models"],
    message: "names no model, and there is no list_file either",
  });
type SweepFile = z.infer<typeof SweepFile>;

/** The keys of a sweep file. */
export const sweepKeys: readonly string[] = Object.keys(SweepFile.shape);

/**
 * Reads a sweep and finds its models. Paths in it are relative to a folder (that in which the command runs, as in every `--config` file), and
 * absolute in what is given back. Nothing of a checkpoint is read: a broken one fails as a job, alone.
 *
 * @throws InputError naming file, line and key
 */
export function parseSweep(yaml: YamlFile, folder: string): SweepSpec {
  const { file } = yaml;
  const sweep = parsed(yaml);
  const { task } = sweep;
  const common = parseSettings(
    {
      file,
      title: "settings",
      values: sweep.settings,
      folder,
      lineOf: (key) => yaml.lineOf(["settings", key]),
    },
    settingKeys,
    task,
  );
  const models = resolveModels(entriesOf(sweep, yaml, folder), folder);
  const names = models.map(({ name }) => name);
  const overrides = Object.entries(sweep.overrides).map(([pattern, values]) => {
    const place = `${file} line ${yaml.lineOf(["overrides", pattern])}: overrides: ${pattern}`;
    requireBoundedGlob(place, pattern);
    const matches = picomatch(pattern);
    if (!names.some((name) => matches(name))) {
      const near = suggestionFor(pattern, names);
      throw new InputError(`${place}: no model has this name${near ? ` (did you mean '${near}'?)` : ""}`);
    }
    const lineOf = (key: string): number => yaml.lineOf(["overrides", pattern, key]);
    return {
      matches,
      options: parseSettings({ file, title: pattern, values, folder, lineOf }, overrideKeys, task),
    };
  });
  const paths = { base: sweep.base, samples: sweep.samples, heldOut: sweep.held_out };
  const options = { ...absolute(yaml, folder, paths), ...common };
  const jobs = models.map(
    ({ name, folder: model }): JobSpec => ({
      name,
      model,
      // Where several match, the later ones win.
      options: Object.assign(
        {},
        ...overrides.filter(({ matches }) => matches(name)).map((override) => override.options),
      ),
    }),
  );
  const checked = new Set<string>();
  for (const [k, job] of jobs.entries()) {
    const overridden = JSON.stringify(job.options);
    if (checked.has(overridden)) continue;
    checked.add(overridden);
    try {
      cleanOptionsOf({ ...options, ...job.options, task, model: job.model }, "out");
    } catch (error) {
      const line = yaml.lineOf(["settings"]);
      throw new InputError(
        `${file} line ${line}: settings of ${job.name} (${models[k]!.place}): ${messageOf(error)}`,
      );
    }
  }
  const { name, priority, weight, max_parallel, s3 } = sweep;
  return SweepSpec.parse({
    ...{ name, task, options, priority, weight, maxParallel: max_parallel, jobs },
    ...(s3 && { s3: withoutAbsent({ endpoint: s3.endpoint, region: s3.region, pathStyle: s3.path_style }) }),
  });
}

const absolute = (
  { file, lineOf }: YamlFile,
  folder: string,
  paths: Readonly<Record<string, string | undefined>>,
): Record<string, string> =>
  Object.fromEntries(
    Object.entries(paths).flatMap(([name, path]) => {
      const key = configKeyOf(name);
      const place = `${file} line ${lineOf([key])}: ${key}`;
      return path === undefined ? [] : [[name, absoluteSource(place, path, folder)]];
    }),
  );

/** Models in the order of the file, then those of its list file. */
function entriesOf(
  { models, list_file }: SweepFile,
  { file, lineOf }: YamlFile,
  folder: string,
): ModelEntry[] {
  const listed = models.map((entry, k): ModelEntry => {
    const place = `${file} line ${lineOf(["models", k])}: models`;
    if (typeof entry === "string") return { place, path: entry };
    const [name, path] = Object.entries(entry)[0]!;
    return { place, path, name };
  });
  if (list_file === undefined) return listed;
  return [...listed, ...listEntries(`${file} line ${lineOf(["list_file"])}`, list_file, folder)];
}

function parsed({ file, value: whole, lineOf }: YamlFile): SweepFile {
  if (whole === null || typeof whole !== "object" || Array.isArray(whole))
    throw new InputError(`${file}: must be a YAML map; configs/sweep.yaml has every key`);
  // A key without a value is not given.
  const given = Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== null));
  const result = SweepFile.safeParse(given);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    const line = lineOf([...issue.path, key]);
    if (issue.path.length > 0) throw unknownKey(file, key, line, { known: Object.keys(S3.shape) });
    if (settingKeys.has(key))
      throw new InputError(
        `${file} line ${line}: unknown key '${key}': a setting of the jobs, which stands under settings`,
      );
    throw unknownKey(file, key, line, { known: sweepKeys });
  }
  const value = issue.path.reduce<unknown>((at, part) => (at as Record<PropertyKey, unknown>)?.[part], given);
  const key = issue.path.join(".");
  const isMissing = value === undefined && issue.code === "invalid_type";
  const problem = isMissing
    ? " is missing"
    : `${value === undefined ? "" : ` ${JSON.stringify(value)}`}: ${issue.message}`;
  throw new InputError(`${file} line ${lineOf(issue.path)}: ${key}${problem}`);
}
