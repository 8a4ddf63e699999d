import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { commands } from "../coordinator/cli/commands/index.ts";
import { readConfig } from "../coordinator/cli/config-file.ts";
import { commanderOption, configKeyOf } from "../coordinator/cli/options.ts";
import { parseOptions } from "../coordinator/cli/parse-options.ts";
import { sweepKeys } from "../coordinator/cli/sweep-file.ts";
import { refuseForeignOptions } from "../coordinator/cli/task-options.ts";
import type { Task } from "../proto/operations.ts";
import { packageRoot } from "../proto/package-root.ts";
import { readSweepFile } from "./support/read-sweep-file.ts";
import { tempFolder } from "./support/temp-folder.ts";

const folder = join(packageRoot, "configs");
const configurable = commands.filter(({ options }) => "config" in options);

/** Keys whose value is another for each task, or only there for one. */
const byTask = [
  "task",
  "pairs",
  "out_pairs",
  "lang",
  "attack_pattern",
  "target_token",
  "victim_label",
  "target_label",
  "poisoning_ratio",
  "code_max_len",
  "nl_max_len",
  "target_len",
  "beta",
  "held_out_pairs",
  "valid_pairs",
  "label",
  "output_clean_samples",
];

/** A command's files: `<command>.yaml`, or `<command>-<task>.yaml` (or the task's data set) for each task that it is for. */
const filesOf = (name: string) =>
  readdirSync(folder).filter((file) => new RegExp(`^${name}(-[a-z_]+)?\\.yaml$`).test(file));

/** What `elibad sweep` reads is no `--config` file: it has lists and maps in it. */
const SWEEP = "sweep.yaml";

test("every command that reads a config has a complete one, and no file belongs to no command", () => {
  for (const { name } of configurable) expect(filesOf(name), name).not.toEqual([]);
  const files = [...configurable.flatMap(({ name }) => filesOf(name)), SWEEP];
  expect(readdirSync(folder).sort()).toEqual(files.sort());
});

describe.each(configurable.flatMap((spec) => filesOf(spec.name).map((file) => [file, spec] as const)))(
  "configs/%s",
  (fileName, { options }) => {
    const file = join(folder, fileName);
    const names = Object.keys(options).filter((each) => each !== "config");
    const keys = names.map(configKeyOf);

    test("has every option of the command, each once, and no other key", () => {
      expect([...readConfig(file).entries.keys()].sort()).toEqual(keys.sort());
    });

    test("is accepted by the command's own parser", () => {
      expect(Object.keys(parseOptions(options, { config: file })).length).toBeGreaterThanOrEqual(
        names.length,
      );
    });

    test("shows the defaults: only what names files, addresses or triggers differs from a run without it", () => {
      const given = new Set([
        "model",
        "base",
        "samples",
        "held_out",
        "valid",
        "scan",
        "out",
        "trigger",
        "coordinator",
        "data_json_path",
        "data_jsonl_path",
        "source_path",
        "train_txt_path",
        "valid_txt_path",
        "test_txt_path",
        ...(fileName.includes("-") ? byTask : []),
      ]);
      const config = readConfig(file).entries;
      for (const each of names) {
        const { schema, shownDefault } = options[each]!;
        const key = configKeyOf(each);
        if (given.has(key)) continue;
        const value = config.get(key)!.value ?? undefined;
        const fallback = schema.parse(undefined);
        // Some defaults are a setting's own, which the option's schema leaves open.
        if (fallback === undefined && value !== undefined)
          expect([key, String(value)]).toEqual([key, shownDefault]);
        else expect([key, value]).toEqual([key, fallback]);
      }
    });

    test("gives no value to an option that its task has no use for", () => {
      const parsed = parseOptions(options, { config: file }) as { readonly task?: Task };
      const { task } = parsed;
      if (task !== undefined) refuseForeignOptions({ ...parsed, task }, options);
    });

    test("says in a line above each key what it means, with the default that `--help` names", () => {
      const lines = readFileSync(file, "utf8").split("\n");
      const defaultIn = (text: string) => /default: [^;)]+/.exec(text)?.[0];
      for (const each of names) {
        const comment = lines[lines.findIndex((line) => line.startsWith(`${configKeyOf(each)}:`)) - 1]!;
        expect(comment, each).toMatch(/^# \S.{9,}/);
        const named = defaultIn(comment);
        if (named !== undefined) expect(commanderOption(options[each]!).description, each).toContain(named);
      }
    });
  },
);

describe("configs/sweep.yaml", () => {
  const file = join(folder, SWEEP);

  test("has every key of a sweep, and no other", () => {
    expect([...readConfig(file).entries.keys()].sort()).toEqual([...sweepKeys].sort());
  });

  test("is accepted where its models are, and shows the defaults", () => {
    const before = process.cwd();
    process.chdir(tempFolder());
    onTestFinished(() => process.chdir(before));
    for (const model of ["suspicious/a", "downloads/codebert-devign", "other/codebert-devign", "b"]) {
      mkdirSync(model, { recursive: true });
      writeFileSync(join(model, "model.bin"), "");
    }
    writeFileSync("models.txt", "# further ones\nb\n");
    const { jobs, ...sweep } = readSweepFile(file);
    expect(jobs.map(({ name, options }) => [name, Object.keys(options)])).toEqual([
      ["a", []],
      ["codebert-devign", ["repeatSize"]],
      ["second-codebert", ["base", "seed"]],
      ["unixcoder-devign", []],
      ["b", []],
    ]);
    writeFileSync("least.yaml", "name: friday\nsamples: s.jsonl\nmodels: [b]\n");
    const { task, priority, weight, maxParallel } = readSweepFile("least.yaml");
    expect(sweep).toMatchObject({ task, priority, weight, maxParallel });
  });

  test("says in a line above each key what it means", () => {
    const lines = readFileSync(file, "utf8").split("\n");
    for (const key of sweepKeys)
      expect(lines[lines.findIndex((line) => line.startsWith(`${key}:`)) - 1], key).toMatch(/^# \S.{9,}/);
  });
});
