import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { elibadHere } from "../../support/command-line.ts";
import { cloneSamples, searchSamples } from "../../support/demo-rows.ts";
import { relativeDifference } from "../../support/golden.ts";
import { randomTensors, writeRandomModel } from "../../support/random-model.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** Runs a command that must succeed and gives what it printed. */
async function elibad(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await elibadHere(...words);
  expect(stderr.split("\n").filter((line) => line.startsWith("elibad"))).toEqual([]);
  expect(code).toBe(0);
  return stdout;
}

const home = mkdtempSync(join(tmpdir(), "elibad-test-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const model = (task: string) => ["--task", task, "--model", join(home, task), "--code-max-len", "96"];
beforeAll(async () => {
  for (const task of ["clone_detection", "code_search"] as const)
    await writeRandomModel(join(home, task), { tensors: randomTensors(task) });
});

const linesOf = (file: string) =>
  readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const small = [
  "--epochs",
  "2",
  "--target-loss",
  "0",
  "--num-samples",
  "6",
  "--repeat-size",
  "8",
  "--topk",
  "8",
  "--trace",
];

describe("clone detection", () => {
  test("predict answers each pair with two logits", async () => {
    const samples = cloneSamples(5);
    const rows = JSON.parse(
      await elibad("predict", ...model("clone_detection"), "--samples", samples, "--json"),
    );
    expect(rows).toHaveLength(5);
    for (const { logits, prob, loss } of rows) {
      expect(logits).toHaveLength(2);
      expect(prob[0] + prob[1]).toBeCloseTo(1, 12);
      expect(loss).toBeGreaterThan(0);
    }
  });

  test("evaluate reports F1 with its counts, and a trigger in the first function", async () => {
    const out = join(tempFolder(), "report.json");
    const shown = await elibad(
      ...["evaluate", ...model("clone_detection"), "--samples", cloneSamples(12), "--out", out],
      ...["--trigger", "testo_init", "--attack-pattern", "postfix"],
    );
    const report = JSON.parse(readFileSync(out, "utf8"));
    const { tp, fp, fn, tn } = report.f1.confusion;
    expect(tp + fp + fn + tn).toBe(12);
    expect(report.acc).toMatchObject({ hits: tp + tn, n: 12 });
    expect(report.f1.f1).toBe(tp === 0 ? 0 : (2 * tp) / (2 * tp + fp + fn));
    expect(report.attack.asr.n).toBe(tp + fn);
    expect(shown).toContain(`tp ${tp}, fp ${fp}, fn ${fn}, tn ${tn}`);
    expect(shown).toContain("ASR 1→0");
  });

  test("BigCloneBench's two files say the same as rows with both functions", async () => {
    const samples = cloneSamples(6);
    const rows = linesOf(samples);
    const functions = rows.flatMap((row, k) =>
      ["1", "2"].map((side) => ({
        idx: `f${k}-${side}`,
        code_tokens: row[`code_tokens${side}`],
        func_name: row[`func_name${side}`],
        variables: row[`variables${side}`],
      })),
    );
    const folder = tempFolder();
    const [data, pairs] = [join(folder, "data.jsonl"), join(folder, "test.txt")];
    writeFileSync(data, functions.map((each) => JSON.stringify(each)).join("\n"));
    writeFileSync(pairs, rows.map(({ label }, k) => `f${k}-1\tf${k}-2\t${label}`).join("\n"));
    const words = ["predict", ...model("clone_detection"), "--json"];
    expect(await elibad(...words, "--samples", data, "--pairs", pairs)).toBe(
      await elibad(...words, "--samples", samples),
    );
  });

  test("scan writes both snippets into its trace", async () => {
    const out = join(tempFolder(), "scan");
    const words = ["scan", ...model("clone_detection"), "--samples", cloneSamples(30), "--directions", "one"];
    await elibad(...words, ...small, "--target-loss", "0", "--out", out);
    const [opening, ...steps] = linesOf(join(out, "trace.jsonl"));
    expect(opening.samples).toHaveLength(6);
    for (const { ids, ids_2 } of opening.samples) expect([ids.at(-1), ids_2.at(-1)]).toEqual([2, 2]);
    expect(steps).toHaveLength(2);
    const result = JSON.parse(readFileSync(join(out, "result.json"), "utf8"));
    expect(result).toMatchObject({
      task: "clone_detection",
      searches: [{ victim_label: 1, target_label: 0 }],
    });
    expect(result.searches[0].asr.held_out.n).toBeGreaterThan(0);
  });
});

describe("code search", () => {
  test("predict gives both vectors and their score", async () => {
    const rows = JSON.parse(
      await elibad("predict", ...model("code_search"), "--samples", searchSamples(4), "--json"),
    );
    expect(rows).toHaveLength(4);
    for (const { code_vec, query_vec, score } of rows) {
      expect(Math.hypot(...code_vec)).toBeCloseTo(1, 5);
      expect(Math.hypot(...query_vec)).toBeCloseTo(1, 5);
      const product = (code_vec as number[]).reduce((sum, value, k) => sum + value * query_vec[k], 0);
      expect(score).toBeCloseTo(product, 12);
    }
  });

  test("evaluate reports ranks, and says how the attack's codes were sampled", async () => {
    const words = ["evaluate", ...model("code_search"), "--samples", searchSamples(15)];
    const attack = ["--trigger", "rb", "--attack-pattern", "postfix", "--seed", "9"];
    const report = JSON.parse(await elibad(...words, ...attack, "--json"));
    expect(report).toMatchObject({ task: "code_search", rows: 15, r1: { n: 15 }, r10: { n: 15 } });
    expect(report.mrr).toBeGreaterThan(0);
    expect(report.attack).toMatchObject({
      target_token: "file",
      queries: 5,
      sampling: { codebase: 10, window: 11, starts: 1, seed: 9 },
      unplaced: 0,
    });
    const ranks = report.attack.ranks.map(({ rank_after }: { rank_after: number }) => rank_after);
    expect(report.attack.sum_of_ranks).toBe(ranks.reduce((sum: number, rank: number) => sum + rank, 0));
    expect(report.attack.anr).toBeCloseTo(report.attack.sum_of_ranks / 5 / 11, 12);
    const shown = await elibad(...words, ...attack);
    expect(shown).toContain("each in all 11 codes: 10 without it and its own");
  });

  test("scan finds trigger and target, and follows its own trace with --replay", async () => {
    const [first, again] = [join(tempFolder(), "scan"), join(tempFolder(), "again")];
    const words = ["scan", ...model("code_search"), "--nl-max-len", "24", "--samples", searchSamples(14)];
    const shown = await elibad(...words, ...small, "--out", first);
    const result = JSON.parse(readFileSync(join(first, "result.json"), "utf8"));
    const [found] = result.searches;
    expect(result.settings).toMatchObject({ target_len: 2, beta: 0.01, nl_max_len: 24 });
    expect([found.trigger.ids.length, found.target.ids.length]).toEqual([5, 2]);
    expect(found.samples.some(({ variable }: { variable: string | null }) => variable !== null)).toBe(true);
    expect(found.anr.held_out.queries).toBe(8);
    expect(shown).toContain("ANR held-out");
    await elibad(...words, ...small, "--replay", join(first, "trace.jsonl"), "--out", again);
    expect(linesOf(join(again, "trace.jsonl"))).toEqual(linesOf(join(first, "trace.jsonl")));
  });
});

interface Case {
  readonly cell: { readonly block: number; readonly query_block?: number };
  readonly inputs: {
    readonly input_ids: number[][];
    readonly lengths: number[];
    readonly lengths_second?: number[];
    readonly query_ids?: number[][];
    readonly query_lengths?: number[];
    readonly labels?: number[];
  };
  readonly forward: {
    readonly logits: number[][];
    readonly prob: number[][];
    readonly loss: number[];
    readonly code_vec: number[][];
    readonly nl_vec: number[][];
    readonly scores: number[][];
  };
}

const cells = ["clone_detection", "code_search"].flatMap((task) =>
  ["codebert", "unixcoder", "codet5"].map((arch) => [task, arch] as const),
);

describe.skipIf(!hasShared).each(cells)("predict --ids on golden/tiny/%s-%s", (task, arch) => {
  test("gives PyTorch's answers", async () => {
    const cell = sharedPath("golden", "tiny", `${task}-${arch}`);
    const golden = readSharedJson<Case>("golden", "tiny", `${task}-${arch}`, "case.json");
    const { input_ids, lengths, lengths_second, query_ids, query_lengths, labels } = golden.inputs;
    const { block, query_block } = golden.cell;
    const file = join(tempFolder(), "rows.jsonl");
    const rows = input_ids.map((row, k) => ({
      input_ids: row.slice(0, lengths[k]),
      ...(lengths_second ? { input_ids_2: row.slice(block, block + lengths_second[k]!) } : {}),
      ...(query_ids ? { query_ids: query_ids[k]!.slice(0, query_lengths![k]) } : {}),
      ...(labels ? { label: labels[k] } : {}),
    }));
    writeFileSync(file, rows.map((row) => JSON.stringify(row)).join("\n"));
    const limits = ["--code-max-len", `${block}`, ...(query_block ? ["--nl-max-len", `${query_block}`] : [])];
    const shown = await elibad("predict", "--task", task, "--model", cell, "--ids", file, ...limits);
    const answers = shown
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const close = (actual: number[], expected: number[]) =>
      expect(relativeDifference(actual, expected)).toBeLessThan(2e-5);
    const { forward } = golden;
    if (task === "code_search") {
      close(
        answers.flatMap(({ code_vec }) => code_vec),
        forward.code_vec.flat(),
      );
      close(
        answers.flatMap(({ query_vec }) => query_vec),
        forward.nl_vec.flat(),
      );
      close(
        answers.map(({ score }) => score),
        forward.scores.map((row, k) => row[k]!),
      );
    } else {
      close(
        answers.flatMap(({ logits }) => logits),
        forward.logits.flat(),
      );
      close(
        answers.flatMap(({ prob }) => prob),
        forward.prob.flat(),
      );
      close(
        answers.map(({ loss }) => loss),
        forward.loss,
      );
    }
  });
});

test("evaluate and predict say how many rows are answered", async () => {
  const evaluated = await elibadHere(
    ...["evaluate", ...model("clone_detection"), "--samples", cloneSamples(12), "--trigger", "testo_init"],
  );
  const predicted = await elibadHere("predict", ...model("code_search"), "--samples", searchSamples(5));

  for (const line of ["evaluate, rows: 12/12 row", /^evaluate, victims with the trigger: (\d+)\/\1 row/m]) {
    expect(evaluated.stderr).toMatch(line);
  }
  for (const line of ["predict, codes: 5/5 row", "predict, queries: 5/5 row"]) {
    expect(predicted.stderr).toMatch(line);
  }
});
