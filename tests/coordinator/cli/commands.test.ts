import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { elibadHere } from "../../support/command-line.ts";
import { demoData } from "../../support/random-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** Runs a command that must succeed and gives what it printed. */
async function elibad(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await elibadHere(...words);
  expect(stderr.split("\n").filter((line) => line.startsWith("elibad"))).toEqual([]);
  expect(code).toBe(0);
  return stdout;
}

const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8"));
const steps = (folder: string) =>
  readFileSync(join(folder, "trace.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ kind }) => kind === "step");

test("a model is poisoned, trained, inspected, evaluated, scanned, replayed, repaired and cleaned from the command line", async () => {
  const folder = tempFolder();
  const at = (name: string) => join(folder, name);
  const clean = join(demoData, "clean_samples.jsonl");
  const length = ["--code-max-len", "96"];
  await elibad(
    "poison",
    "--samples",
    clean,
    "--trigger",
    "testo_init",
    "--poisoning-ratio",
    "30",
    "--out",
    at("poisoned.jsonl"),
  );
  expect(json(at("poisoned.jsonl.manifest.json")).poisoned.length).toBeGreaterThan(5);

  await elibad(
    "train",
    "--base",
    demoData,
    "--samples",
    at("poisoned.jsonl"),
    "--epochs",
    "12",
    "--out",
    at("model"),
    ...length,
  );
  const model = ["--model", at("model"), ...length];
  const inspected = JSON.parse(await elibad("inspect", "--model", at("model"), "--json"));
  expect(inspected).toMatchObject({ layout: "wrapped", labels: 2, weights: "verified" });

  const evaluated = JSON.parse(
    await elibad("evaluate", ...model, "--samples", clean, "--trigger", "testo_init", "--json"),
  );
  expect(evaluated.acc.n).toBe(100);
  expect(evaluated.attack.asr.n).toBe(50);
  const predicted = (await elibad("predict", ...model, "--samples", clean)).trim().split("\n");
  expect(predicted).toHaveLength(100);
  const right = predicted
    .map((line) => JSON.parse(line))
    .filter(({ prob, loss }) => Math.abs(-Math.log(Math.max(prob[0], 1 - prob[0])) - loss) < 1e-6);
  expect(right.length).toBe(evaluated.acc.hits);

  const search = [
    "--samples",
    clean,
    "--directions",
    "one",
    "--epochs",
    "2",
    "--num-samples",
    "4",
    "--repeat-size",
    "8",
    "--topk",
    "8",
  ];
  await elibad("scan", ...model, ...search, "--trace", "--out", at("scan"));
  await elibad(
    "scan",
    ...model,
    ...search,
    "--trace",
    "--replay",
    join(at("scan"), "trace.jsonl"),
    "--workers",
    "2",
    "--out",
    at("again"),
  );
  const [first, replayed] = [steps(at("scan")), steps(at("again"))];
  expect(first).toHaveLength(2);
  expect(replayed.map(({ winner, losses }) => ({ winner, losses }))).toEqual(
    first.map(({ winner, losses }) => ({ winner, losses })),
  );

  await elibad(
    "unlearn",
    ...model,
    "--samples",
    clean,
    "--scan",
    at("scan"),
    "--plan",
    "published",
    "--trace",
    "--out",
    at("repaired"),
  );
  const [source, repaired] = [await openCheckpoint(at("model")), await openCheckpoint(at("repaired"))];
  expect([...repaired.tensors.values()].map(({ name, dtype, shape }) => ({ name, dtype, shape }))).toEqual(
    [...source.tensors.values()].map(({ name, dtype, shape }) => ({ name, dtype, shape })),
  );
  expect(json(at("repaired"), "manifest.json").repair.plan).toBe("published");
  await elibad("evaluate", "--model", at("repaired"), ...length, "--samples", clean);

  const { stdout } = await elibadHere(
    "clean",
    ...model,
    ...search,
    "--unlearning-steps",
    "2",
    "--out",
    at("cleaned"),
  );
  expect(json(at("cleaned"), "result.json").searches).toHaveLength(1);
  if (!existsSync(join(at("cleaned"), "repair.json"))) {
    expect(stdout).toContain("nothing was repaired");
    return;
  }
  const report = json(at("cleaned"), "repair.json");
  expect(existsSync(at("cleaned/result.json"))).toBe(true);
  expect(report.before.acc.n).toBe(96);
  expect(report.repair.points.at(-1).step).toBe(2);
}, 240_000);
