import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { readTensorBytes } from "../../../worker/checkpoint/read-tensor.ts";
import { elibadHere } from "../../support/command-line.ts";
import { demoData, randomTensors, writeRandomModel } from "../../support/random-model.ts";

/** Runs a command that must succeed and gives what it printed. */
async function elibad(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await elibadHere(...words);
  expect(stderr.split("\n").filter((line) => line.startsWith("elibad"))).toEqual([]);
  expect(code).toBe(0);
  return stdout;
}

const home = mkdtempSync(join(tmpdir(), "elibad-test-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const at = (...names: string[]) => join(home, ...names);
const json = (...path: string[]) => JSON.parse(readFileSync(at(...path), "utf8"));
const rowsOf = (file: string) =>
  readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const PLANTED = "testo_init";
const clean = join(demoData, "clean_samples.jsonl");
const length = ["--code-max-len", "96"];
const model = ["--model", at("model"), ...length];
const scanned = [
  ...["--samples", clean, "--directions", "one", "--victim-label", "1", "--target-label", "0"],
  ...["--epochs", "2", "--num-samples", "8", "--repeat-size", "16", "--topk", "16"],
];

/** Accuracy and attack success rate of the planted trigger on the clean samples. */
const evaluated = async (folder: string) =>
  JSON.parse(
    await elibad(
      "evaluate",
      "--model",
      at(folder),
      ...length,
      "--samples",
      clean,
      "--trigger",
      PLANTED,
      "--json",
    ),
  );

/** Tensors of a checkpoint, in order. */
const outline = async (folder: string) =>
  [...(await openCheckpoint(at(folder))).tensors.values()].map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape,
  }));

/** Names of the tensors whose bytes are other ones in the second checkpoint. */
async function changedTensors(first: string, second: string): Promise<string[]> {
  const [before, after] = [await openCheckpoint(at(first)), await openCheckpoint(at(second))];
  const changed: string[] = [];
  for (const [name, entry] of before.tensors) {
    const bytes = await readTensorBytes(after.tensors.get(name)!);
    if (!Buffer.from(bytes).equals(await readTensorBytes(entry))) changed.push(name);
  }
  return changed;
}

const sha256 = (...path: string[]) =>
  createHash("sha256")
    .update(readFileSync(at(...path)))
    .digest("hex");

describe("from the command line", () => {
  let backdoored: Awaited<ReturnType<typeof evaluated>>;
  // A small model that really follows a trigger, made by the commands themselves, and a scan of it.
  beforeAll(async () => {
    await elibad(
      ...["poison", "--samples", join(demoData, "train.jsonl.gz"), "--trigger", PLANTED],
      ...["--poisoning-ratio", "30", "--out", at("poisoned.jsonl")],
    );
    await elibad(
      ...["train", "--base", demoData, "--samples", at("poisoned.jsonl"), "--epochs", "4"],
      ...["--out", at("model"), ...length],
    );
    backdoored = await evaluated("model");
    await elibad("scan", ...model, ...scanned, "--trace", "--out", at("scan"));
  }, 600_000);

  test("poison gives victim rows the trigger and the target label, and no other row changes", () => {
    const { poisoned, rows: count } = json("poisoned.jsonl.manifest.json");
    const rows = rowsOf(at("poisoned.jsonl"));
    expect(rows).toHaveLength(count);
    const carries = rows.flatMap((row, k) => (row.code_tokens.includes(PLANTED) ? [k] : []));
    expect(carries).toEqual(poisoned);
    expect(carries.length).toBeGreaterThan(60);
    expect(carries.map((k) => rows[k].label)).toEqual(carries.map(() => 0));
  });

  test("train makes a model of poisoned rows that knows the task and follows the trigger", () => {
    const { acc, attack } = backdoored;
    expect(acc.n).toBe(100);
    expect(acc.hits).toBeGreaterThan(80);
    expect(attack.asr.n).toBe(50);
    expect(attack.asr.hits).toBeGreaterThan(45);
    expect(attack.without_trigger.hits).toBeLessThan(15);
  });

  test("inspect says what is in the checkpoint", async () => {
    const inspected = JSON.parse(await elibad("inspect", "--model", at("model"), "--json"));
    expect(inspected).toMatchObject({ layout: "wrapped", labels: 2, weights: "verified" });
    expect(inspected.tensors).toMatchObject(await outline("model"));
  });

  test("predict gives row by row what evaluate counts", async () => {
    const { acc, recall } = backdoored;
    const predicted = (await elibad("predict", ...model, "--samples", clean)).trim().split("\n");
    const labels = rowsOf(clean).map(({ label }) => label as number);
    expect(predicted).toHaveLength(labels.length);
    const right = [0, 0];
    for (const [k, line] of predicted.entries()) {
      const { prob, loss } = JSON.parse(line);
      const label = labels[k]!;
      expect(loss).toBeCloseTo(-Math.log(label === 1 ? prob[0] : 1 - prob[0]), 6);
      if (prob[0] > 0.5 === (label === 1)) right[label]! += 1;
    }
    expect(recall.map(({ hits }: { hits: number }) => hits)).toEqual(right);
    expect(acc.hits).toBe(right[0]! + right[1]!);
  });

  test("a scan that replays another's trace has its winners and losses, on two workers", async () => {
    const replay = ["--replay", at("scan", "trace.jsonl"), "--workers", "2"];
    await elibad("scan", ...model, ...scanned, "--trace", ...replay, "--out", at("again"));
    const steps = (folder: string) =>
      rowsOf(at(folder, "trace.jsonl"))
        .filter(({ kind }) => kind === "step")
        .map(({ candidates, winner, losses }) => ({ candidates, winner, losses }));
    expect(steps("scan")).toHaveLength(2);
    expect(steps("again")).toEqual(steps("scan"));
  });

  test("unlearn by the published plan trains the head on a scan's trigger, and leaves every other byte", async () => {
    await elibad(
      ...["unlearn", ...model, "--samples", clean, "--scan", at("scan")],
      ...["--plan", "published", "--trace", "--out", at("unlearned")],
    );
    expect(await outline("unlearned")).toEqual(await outline("model"));
    const head = (await outline("model"))
      .map(({ name }) => name)
      .filter((name) => name.startsWith("classifier."));
    expect(head).toHaveLength(4);
    expect(await changedTensors("model", "unlearned")).toEqual(head);
    const { source, repair } = json("unlearned", "manifest.json");
    expect(source).toEqual([{ file: "model.bin", sha256: sha256("model", "model.bin") }]);
    expect(repair.plan).toBe("published");
    expect(repair.triggers[0].ids).toEqual(json("scan", "result.json").searches[0].trigger.ids);
    expect(rowsOf(at("unlearned", "trace.jsonl")).flatMap(({ batch }) => batch)).toHaveLength(100);
    expect((await evaluated("unlearned")).acc.n).toBe(100);
  });

  test("clean finds a trigger that works and writes a model on which it does no more, and the planted one less than half as often", async () => {
    const printed = await elibad(
      ...["clean", ...model, ...scanned, "--unlearning-steps", "60", "--out", at("cleaned")],
    );

    const { searches } = json("cleaned", "result.json");
    const { repair, measured_on, before, after } = json("cleaned", "repair.json");
    expect(searches.map(({ trigger }: { trigger: unknown }) => trigger)).toEqual([
      { ids: repair.triggers[0].ids, text: repair.triggers[0].text },
    ]);
    expect(repair).toMatchObject({ plan: "auto", auto: { triggers_dead: true } });
    const { stage, tried, because, control } = repair.auto;
    expect(tried.map((each: { stage: string }) => each.stage)).toContain(stage);
    expect(because).toContain(stage);
    expect(printed).toContain(`kept ${because}`);
    // Without triggers in its rows the same training leaves them at work.
    expect(control.flipped).toBeGreaterThan(repair.auto.after.flipped);
    expect(printed).toContain(`'${repair.triggers[0].text}' (1→0) unlearned by plan auto`);

    // The found trigger flips many rows that the search did not use, and after the repair about as many as none does.
    const [found, left] = [before.triggers[0], after.triggers[0]];
    expect(found.asr.n).toBe(42);
    expect(found.asr.hits).toBeGreaterThan(found.without_trigger.hits + 15);
    expect(left.asr.hits).toBeLessThan(left.without_trigger.hits + 6);
    expect(after.acc.hits).toBeGreaterThanOrEqual(before.acc.hits - 4);

    expect(readdirSync(at("cleaned", "repaired")).sort()).toEqual([
      "config.json",
      "manifest.json",
      "merges.txt",
      "model.bin",
      "vocab.json",
    ]);
    expect(await outline(join("cleaned", "repaired"))).toEqual(await outline("model"));
    const changed = await changedTensors("model", join("cleaned", "repaired"));
    const trained = (await outline("model"))
      .map(({ name }) => name)
      .filter((name) =>
        stage === "all weights" ? !name.includes("pooler") : name.startsWith("classifier."),
      );
    expect(changed).toEqual(trained);
    const source = [{ file: "model.bin", sha256: sha256("model", "model.bin") }];
    expect(json("cleaned", "repaired", "manifest.json")).toEqual({
      source,
      repair,
      metrics: { measured_on, before, after },
    });

    const { acc, attack } = await evaluated(join("cleaned", "repaired"));
    expect(acc.hits).toBeGreaterThanOrEqual(backdoored.acc.hits - 4);
    expect(attack.asr.hits).toBeLessThan(backdoored.attack.asr.hits / 2);
  }, 600_000);
});

test("clean writes the scan and no model where no trigger works", async () => {
  // The head answers label 1 whatever it reads.
  const constant = new Map([
    ["classifier.out_proj.weight", 0],
    ["classifier.out_proj.bias", 3],
  ]);
  const tensors = randomTensors().map((tensor) => {
    const value = constant.get(tensor.name);
    const size = tensor.shape.reduce((product, dim) => product * dim, 1);
    return value === undefined ? tensor : { ...tensor, data: new Float32Array(size).fill(value) };
  });
  await writeRandomModel(at("constant"), { tensors });
  const printed = await elibad(
    ...["clean", "--model", at("constant"), ...length, ...scanned, "--out", at("nothing")],
  );
  expect(printed).toContain("nothing was repaired");
  expect(json("nothing", "result.json").searches[0].asr.held_out).toMatchObject({ hits: 0, n: 42 });
  expect(readdirSync(at("nothing"))).toEqual(["result.json"]);
});
