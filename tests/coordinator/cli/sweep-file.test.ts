import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { InputError } from "../../../coordinator/cli/errors.ts";
import { requirePaths } from "../../../coordinator/cli/sweep-paths.ts";
import { cleanOptionsOf } from "../../../coordinator/cli/sweep-settings.ts";
import { readYaml } from "../../../coordinator/cli/yaml-file.ts";
import { jobOptions } from "../../../coordinator/sweep/sweep.ts";
import { readSweepFile } from "../../support/read-sweep-file.ts";
import { tempFolder } from "../../support/temp-folder.ts";

let folder: string;

/** A folder with some checkpoints, as far as a sweep looks at them, in which the test runs. */
beforeEach(() => {
  const before = process.cwd();
  folder = tempFolder();
  process.chdir(folder);
  onTestFinished(() => process.chdir(before));
  for (const model of [
    "zoo/a",
    "zoo/b",
    "zoo/big-c",
    "runs/1/checkpoint",
    "runs/2/checkpoint",
    "odd/a model",
  ]) {
    mkdirSync(join(folder, model), { recursive: true });
    writeFileSync(join(folder, model, "model.bin"), "");
  }
  mkdirSync(join(folder, "docs"));
  mkdirSync(join(folder, "adapters/lora"), { recursive: true });
  writeFileSync(join(folder, "adapters/lora/adapter_config.json"), "{}");
});

function read(...lines: string[]) {
  writeFileSync("sweep.yaml", `${lines.join("\n")}\n`);
  return readSweepFile("sweep.yaml");
}
const head = ["name: friday", "samples: s.jsonl"];
/** Names and folders below the test's own. */
const modelsOf = ({ jobs }: ReturnType<typeof readSweepFile>) =>
  jobs.map(({ name, model }) => [name, model.slice(folder.length + 1)]);

test("folders, globs, names and a list file give one job for each model, with absolute paths", () => {
  writeFileSync("list.txt", "# downloaded\n\nadapters/lora\nzoo/b\n");
  const models = [
    "models:",
    "  - zoo/big-c",
    "  - zoo/*",
    "  - first: runs/1/checkpoint",
    "list_file: list.txt",
  ];
  const sweep = read(...head, ...models, "base: codebert-base");
  expect(modelsOf(sweep)).toEqual([
    ["big-c", "zoo/big-c"],
    ["a", "zoo/a"],
    ["b", "zoo/b"],
    ["first", "runs/1/checkpoint"],
    ["lora", "adapters/lora"],
  ]);
  expect(sweep.options).toEqual({ base: join(folder, "codebert-base"), samples: join(folder, "s.jsonl") });
  expect(sweep).toMatchObject({
    name: "friday",
    task: "defect_detection",
    priority: 0,
    weight: 1,
    maxParallel: 4,
  });
});

test("a glob finds folders that are links, once each", () => {
  mkdirSync("links");
  for (const model of ["a", "b"]) symlinkSync(join(folder, "zoo", model), join("links", model));
  mkdirSync("links/c");
  writeFileSync("links/c/model.bin", "");
  const all = ["a", "b", "c"].map((name) => [name, `links/${name}`]);
  expect(modelsOf(read(...head, "models: [links/*]"))).toEqual(all);
  expect(modelsOf(read(...head, "models: [links/*/]"))).toEqual(all);
});

test("a path that all jobs have in common must be there, with its line", () => {
  const check = (...lines: string[]) => {
    const spec = read(...lines);
    requirePaths(readYaml("", "sweep.yaml"), spec);
  };
  const models = "models: [zoo/*]";
  writeFileSync("s.jsonl", "");
  check(...head, models, "base: docs", `held_out: upload:${"a".repeat(64)}`);
  expect(() => check(...head, models, "base: nowhere")).toThrow(
    `sweep.yaml line 4: base ${join(folder, "nowhere")}: no such folder`,
  );
  expect(() => check("name: friday", "samples: docs", models)).toThrow(
    `sweep.yaml line 2: samples ${join(folder, "docs")}: is a folder, expected a file`,
  );
  execFileSync("mkfifo", ["pipe"]);
  expect(() => check("name: friday", "samples: pipe", models)).toThrow(
    `sweep.yaml line 2: samples ${join(folder, "pipe")}: is a pipe or device, expected a file`,
  );
  expect(() => check(...head, models, "overrides: { b: { held_out: t.jsonl } }")).toThrow(
    `sweep.yaml: overrides of b: held_out ${join(folder, "t.jsonl")}: no such file`,
  );
});

test("settings are those of clean, overrides of a name or glob win, and the later one over the earlier", () => {
  const sweep = read(
    ...head,
    "models: [zoo/*]",
    "held_out: h.jsonl",
    "settings: { epochs: 9, plan: published, trace: true, init: [1, 2] }",
    "overrides:",
    "  '*': { topk: 8 }",
    "  big-*: { topk: 4, epochs: null, held_out: other.jsonl }",
    "priority: 3",
    "weight: 0.5",
    "max_parallel: 2",
  );
  expect(sweep).toMatchObject({ priority: 3, weight: 0.5, maxParallel: 2 });
  const options = sweep.jobs.map((job) => cleanOptionsOf(jobOptions(sweep, job), "results"));
  expect(options[0]).toMatchObject({
    ...{
      epochs: 9,
      topk: 8,
      plan: "published",
      trace: true,
      init: [1, 2],
      seed: 123_456,
      half: "first_half",
    },
    ...{ model: join(folder, "zoo/a"), heldOut: join(folder, "h.jsonl"), out: "results" },
  });
  expect(options[2]).toMatchObject({ epochs: undefined, topk: 4, heldOut: join(folder, "other.jsonl") });
});

test("a job's options survive the log, which is JSON", () => {
  const sweep = read(
    ...head,
    "models: [zoo/a]",
    "settings: { score_index: own, warmup: 0.1, codemaxlen: null }".replace("codemaxlen", "code_max_len"),
  );
  const through = JSON.parse(JSON.stringify(sweep)) as typeof sweep;
  expect(through).toEqual(sweep);
  const [job] = through.jobs;
  expect(cleanOptionsOf(jobOptions(through, job!), "out")).toMatchObject({ scoreIndex: "own", warmup: 0.1 });
});

test("options out of a log or a request are checked like those of the command line", () => {
  const given = { model: "m", samples: "s", task: "defect_detection" };
  expect(() => cleanOptionsOf({ ...given, wokers: 3 }, "out")).toThrow("there is no setting 'wokers'");
  expect(() => cleanOptionsOf({ ...given, topk: "many" }, "out")).toThrow('--topk "many": must be a number');
  expect(() => cleanOptionsOf({ model: "m" }, "out")).toThrow("--samples is missing");
});

describe("what is wrong is named by file, line and key", () => {
  const models = "models: [zoo/*]";
  test.each<[string, string[]]>([
    ["sweep.yaml line 1: samples is missing", ["name: friday", models]],
    [
      "sweep.yaml line 3: models []: names no model, and there is no list_file either",
      [...head, "models: []"],
    ],
    ["sweep.yaml line 3: unknown key 'wieght' (did you mean 'weight'?)", [...head, "wieght: 2", models]],
    [
      "sweep.yaml line 4: unknown key 'epochs': a setting of the jobs, which stands under settings",
      [...head, models, "epochs: 3"],
    ],
    ['sweep.yaml line 1: name "a/b": must be letters', ["name: a/b", "samples: s", models]],
    ["sweep.yaml line 4: weight 0: must be more than 0", [...head, models, "weight: 0"]],
    [
      'sweep.yaml line 4: max_parallel "many": must be a whole number',
      [...head, models, "max_parallel: many"],
    ],
    ['sweep.yaml line 3: task "defects": must be one of', [...head, "task: defects", models]],
    [
      "sweep.yaml line 5: settings: epochs 0: must be at least 1",
      [...head, models, "settings:", "  epochs: 0"],
    ],
    [
      "sweep.yaml line 6: unknown key 'epoch' (did you mean 'epochs'?)",
      [...head, models, "settings:", "  topk: 4", "  epoch: 2"],
    ],
    ["sweep.yaml line 5: unknown key 'out'", [...head, models, "settings:", "  out: x"]],
    [
      "sweep.yaml line 5: settings: target_len 2: has no meaning for task defect_detection",
      [...head, models, "settings:", "  target_len: 2"],
    ],
    [
      'sweep.yaml line 6: big-c: topk "x": must be a number',
      [...head, models, "overrides:", "  big-c:", "    topk: x"],
    ],
    [
      "sweep.yaml line 5: overrides: big-d: no model has this name (did you mean 'big-c'?)",
      [...head, models, "overrides:", "  big-d: { topk: 2 }"],
    ],
    [
      "sweep.yaml line 4: settings of a (sweep.yaml line 3: models): --dropout 0.1: has no meaning for --plan auto",
      [...head, models, "settings: { dropout: 0.1 }"],
    ],
    [
      "sweep.yaml line 5: models: nowhere/*: no folder matches",
      [...head, "models:", "  - zoo/a", "  - nowhere/*"],
    ],
    ["sweep.yaml line 3: models: nowhere: no such folder", [...head, "models: [nowhere]"]],
    [
      "sweep.yaml line 3: models: gs://lab/a: nothing reads gs:// here; name",
      [...head, "models: [gs://lab/a]"],
    ],
    [
      "sweep.yaml line 3: models: https://host/*: nothing reads https://",
      [...head, "models: [https://host/*]"],
    ],
    [
      "line 2: samples: file:///s.jsonl: write the path alone",
      ["name: friday", "samples: file:///s.jsonl", models],
    ],
    ["sweep.yaml line 1: name 5: must be text", ["name: 5", "samples: s", models]],
    [
      'sweep.yaml line 5: models.1 {"x":"zoo/a","y":"zoo/b"}: must be a folder, a glob, or \'name: folder\'',
      [...head, "models:", "  - zoo/a", "  - { x: zoo/a, y: zoo/b }"],
    ],
    [
      "sweep.yaml line 3: models: 'my model' cannot be a model's name: must be letters",
      [...head, "models: [{ my model: zoo/a }]"],
    ],
    ["sweep.yaml line 4: s3 3: must be a map", [...head, models, "s3: 3"]],
    [
      "sweep.yaml line 5: unknown key 'endpiont' (did you mean 'endpoint'?)",
      [...head, models, "s3:", "  endpiont: https://minio.example"],
    ],
    ["sweep.yaml line 3: models: docs: no checkpoint in it", [...head, "models: [docs]"]],
    ["sweep.yaml line 3: models: sweep.yaml: is a file", [...head, "models: [sweep.yaml]"]],
    [
      "sweep.yaml line 3: models: two models have the name 'checkpoint'",
      [...head, "models: [runs/*/checkpoint]"],
    ],
    ["sweep.yaml line 3: models: 'a model' cannot be a model's name", [...head, "models: [odd/*]"]],
    [
      "sweep.yaml line 3: models: z: zoo/* is a glob; a name belongs to one folder",
      [...head, "models: [{ z: zoo/* }]"],
    ],
    ["sweep.yaml line 3: models.0 7: must be a folder, a glob, or 'name: folder'", [...head, "models: [7]"]],
    ["sweep.yaml line 3: list_file none.txt: no such file", [...head, "list_file: none.txt"]],
    ["sweep.yaml: must be a YAML map", ["- a"]],
  ])("%s", (message, lines) => {
    expect(() => read(...lines)).toThrow(InputError);
    expect(() => read(...lines)).toThrow(message);
  });

  test("in a list file, its own line", () => {
    writeFileSync("list.txt", "zoo/a\nzoo/nothing\n");
    expect(() => read(...head, "list_file: list.txt")).toThrow(
      "list.txt line 2: zoo/nothing: no such folder",
    );
  });
});
