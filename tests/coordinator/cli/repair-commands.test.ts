import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openModel } from "../../../coordinator/cli/open-model.ts";
import { writeModel } from "../../../coordinator/cli/write-model.ts";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { elibadHere } from "../../support/command-line.ts";
import { cloneSamples, searchSamples } from "../../support/demo-rows.ts";
import { loadWeights, relativeDifference } from "../../support/golden.ts";
import { demoData, randomTensors, writeRandomModel } from "../../support/random-model.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** Runs a command that must succeed and gives what it printed. */
async function elibad(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await elibadHere(...words);
  expect(stderr.split("\n").filter((line) => line.startsWith("elibad"))).toEqual([]);
  expect(code).toBe(0);
  return stdout;
}

const json = (...parts: string[]) => JSON.parse(readFileSync(join(...parts), "utf8"));
const linesOf = (file: string) =>
  readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

/** Every tensor's name, shape and dtype, in the file's order. */
const outline = async (folder: string) =>
  [...(await openCheckpoint(folder)).tensors.values()].map(({ name, shape, dtype }) => ({
    name,
    shape,
    dtype,
  }));

/** Names of the tensors in which two checkpoints differ. */
async function changed(before: string, after: string): Promise<string[]> {
  const [old, now] = [await loadWeights(before), await loadWeights(after)];
  return [...old.keys()].filter((name) => relativeDifference(now.get(name)!.data, old.get(name)!.data) > 0);
}

const tasks = [
  { task: "clone_detection", samples: () => cloneSamples(12) },
  { task: "code_search", samples: () => searchSamples(12) },
] as const;

describe.each(tasks)("$task", ({ task, samples: makeSamples }) => {
  const limits = ["--task", task, "--code-max-len", "64"];

  test("train makes a model from random weights that predict reads", async () => {
    const [samples, out] = [makeSamples(), join(tempFolder(), "trained")];
    const shown = await elibad(
      ...["train", ...limits, "--base", demoData, "--samples", samples, "--valid", samples],
      ...["--epochs", "2", "--batch-size", "6", "--token-dropout", "0.1", "--out", out],
    );
    const { rows, epochs, kept_epoch } = json(out, "training.json");
    expect(rows).toBe(12);
    expect(epochs).toHaveLength(2);
    expect([1, 2]).toContain(kept_epoch);
    const { valid } = epochs[0];
    expect(valid.rows).toBe(12);
    expect(valid.value).toBe(task === "code_search" ? valid.mrr : valid.right / 12);
    const { value } = epochs[kept_epoch - 1].valid;
    expect(shown).toContain(`on --valid ${task === "code_search" ? "MRR" : "ACC"} ${value.toFixed(3)} (`);
    const printed = await elibad("predict", ...limits, "--model", out, "--samples", samples);
    expect(printed.trim().split("\n")).toHaveLength(12);
  });

  test("unlearn by the published plan, and the same again from its own trace", async () => {
    const samples = makeSamples();
    const model = await writeRandomModel(join(tempFolder(), "model"), { tensors: randomTensors(task) });
    const unlearn = (out: string, ...more: string[]) =>
      elibad(
        ...["unlearn", ...limits, "--model", model, "--samples", samples, "--plan", "published", "--trace"],
        ...["--trigger", "testo_init", "--attack-pattern", "postfix", "--injection-rate", "0.5"],
        ...["--batch-size", "5", "--out", out, ...more],
      );
    const [first, again] = [join(tempFolder(), "first"), join(tempFolder(), "again")];
    await unlearn(first, "--unlearning-seed", "7");
    expect(json(first, "manifest.json").repair.injected_rows.length).toBeGreaterThan(0);
    expect(await outline(first)).toEqual(await outline(model));
    const differing = await changed(model, first);
    if (task === "clone_detection")
      expect(differing.every((name) => name.startsWith("classifier."))).toBe(true);
    else expect(differing.length).toBeGreaterThan(20);

    const trace = linesOf(join(first, "trace.jsonl"));
    expect(trace.flatMap(({ batch }) => batch).sort((a, b) => a - b)).toEqual([...Array(12).keys()]);
    await unlearn(again, "--unlearning-seed", "7", "--replay", join(first, "trace.jsonl"));
    expect(linesOf(join(again, "trace.jsonl"))).toEqual(trace);
    expect(await changed(first, again)).toEqual([]);
  });

  test("what has no meaning for the task is refused by name", async () => {
    const samples = makeSamples();
    const model = await writeRandomModel(join(tempFolder(), "model"), { tensors: randomTensors(task) });
    const words = ["--trigger", "x", "--plan", "published", "--out", join(tempFolder(), "out")];
    const refused = task === "code_search" ? ["--inject", "ids"] : ["--trigger", "y", "--trigger", "z"];
    const { code, stderr } = await elibadHere(
      ...["unlearn", ...limits, "--model", model, "--samples", samples, ...words, ...refused],
    );
    expect(code).toBe(2);
    const reason =
      task === "code_search"
        ? "--inject ids: has no meaning for --task code_search"
        : "--trigger: 3 triggers; --plan published unlearns one";
    expect(stderr).toContain(reason);
  });
});

test.each([
  ["auto", ["--dropout", "0.3"], "--dropout 0.3: has no meaning for --plan auto"],
  ["auto", ["--trainable", "all"], "--trainable all: has no meaning for --plan auto"],
  ["published", ["--unlearning-steps", "7"], "--unlearning-steps 7: has no meaning for --plan published"],
])("what has no meaning for --plan %s is refused: %s", async (plan, refused, reason) => {
  const words = [
    "--model",
    demoData,
    "--samples",
    demoData,
    "--trigger",
    "x",
    "--out",
    join(tempFolder(), "o"),
  ];
  const { code, stderr } = await elibadHere("unlearn", ...words, "--plan", plan, ...refused);
  expect(code).toBe(2);
  expect(stderr).toContain(reason);
});

test("dropout is refused in the training of code search", async () => {
  const { code, stderr } = await elibadHere(
    ...["train", "--task", "code_search", "--base", demoData, "--samples", searchSamples(4)],
    ...["--dropout", "0.1", "--out", join(tempFolder(), "out")],
  );
  expect(code).toBe(2);
  expect(stderr).toContain("--dropout 0.1");
});

test("a scan of code search gives unlearn its trigger and target", async () => {
  const model = await writeRandomModel(join(tempFolder(), "model"), {
    tensors: randomTensors("code_search"),
  });
  const scan = join(tempFolder(), "result.json");
  const ranked = { anr: 0.1, without_trigger: 0.5 };
  const search = (text: string, anr: typeof ranked) => ({
    trigger: { ids: [300, 301], text },
    target: { ids: [302], text: "file" },
    loss: 0.5,
    anr: { samples: anr, held_out: anr },
  });
  writeFileSync(
    scan,
    JSON.stringify({
      searches: [search("weak", { anr: 0.45, without_trigger: 0.5 }), search("strong", ranked)],
    }),
  );
  const out = join(tempFolder(), "out");
  await elibad(
    ...["unlearn", "--task", "code_search", "--model", model, "--samples", searchSamples(6), "--scan", scan],
    ...["--plan", "published", "--code-max-len", "64", "--out", out],
  );
  expect(json(out, "manifest.json").repair.triggers).toEqual([
    { ids: [300, 301], text: "strong", target: { ids: [302], text: "file" } },
  ]);
});

describe.skipIf(!hasShared)("T5", () => {
  test("a repaired CodeT5 has its word vectors under all four names, in one storage", async () => {
    const source = sharedPath("golden", "tiny", "clone_detection-codet5");
    const { tensors } = await openCheckpoint(source);
    const names = [...tensors.keys()].filter((name) => /shared|embed_tokens|lm_head/.test(name));
    expect(names).toHaveLength(4);
    const opened = await openModel({ model: source, task: "clone_detection" });
    const shared = tensors.get("encoder.shared.weight")!;
    const values = new Float32Array(shared.shape[0]! * shared.shape[1]!).fill(0.5);
    const folder = tempFolder();
    await writeModel(opened, { model: source }, new Map([["encoder.shared.weight", values]]), {
      format: "same",
      folder,
    });
    const written = await openCheckpoint(folder);
    expect(await outline(folder)).toEqual(await outline(source));
    const places = names.map((name) => written.tensors.get(name)!.offset);
    expect(new Set(places).size).toBe(1);
    expect((await loadWeights(folder)).get(names[3]!)!.data).toEqual(values);
  });
});
