import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../proto/package-root.ts";
import { parseRobertaConfig } from "../worker/models/roberta/config.ts";
import { forwardFlop } from "./bench/flop.ts";
import type { BenchRun } from "./bench/report.ts";
import { scenarios } from "./bench/scenarios.ts";
import { summarise } from "./bench/statistics.ts";
import { tempFolder } from "./support/temp-folder.ts";

/** What `npm run bench -- …` starts after the build. */
function bench(...args: string[]) {
  const main = join(packageRoot, "dist", "tests", "bench", "main.js");
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
}

test("the bench lists its scenarios, each name once", () => {
  const { status, stdout } = bench("--list");
  expect(status).toBe(0);
  const listed = stdout.trim().split("\n");
  expect(listed.map((line) => line.split(" ")[0])).toEqual(scenarios.map(({ name }) => name));
  expect(new Set(listed).size).toBe(scenarios.length);
});

test("one scenario runs, is printed as JSON, saved, and put into a document between the marks", () => {
  const out = mkdtempSync(join(tempFolder(), "results-"));
  const document = join(out, "page.md");
  writeFileSync(document, "# Page\n\n<!-- bench: begin -->\nold\n<!-- bench: end -->\n\nAfter.\n");
  const only = ["--only", "matmul-ceiling", "--repetitions", "2", "--threads", "1"];
  const { status, stdout, stderr } = bench(...only, "--json", "--out", out, "--document", document);
  expect(status, stderr).toBe(0);

  const run = JSON.parse(stdout) as BenchRun;
  expect(run).toMatchObject({ threads: 1, machine: { node: process.versions.node } });
  expect(run.scenarios.map(({ name }) => name)).toEqual(["matmul-ceiling"]);
  const [ceiling] = run.scenarios[0]!.measurements;
  expect(ceiling!.values).toHaveLength(2);
  expect(Math.min(...ceiling!.values)).toBeGreaterThan(0.1);

  const saved = readdirSync(out).filter((name) => name.endsWith(".json"));
  expect(saved).toHaveLength(1);
  expect(JSON.parse(readFileSync(join(out, saved[0]!), "utf8"))).toEqual(run);
  const page = readFileSync(document, "utf8");
  expect(page).toMatch(
    /^# Page\n\n<!-- bench: begin -->\n\n.*GFLOP\/s.*\n\n<!-- bench: end -->\n\nAfter\.\n$/s,
  );
  expect(page).not.toContain("old");
});

test.each([
  { args: ["--only", "forwards"], says: "--only 'forwards': no such scenario" },
  { args: ["--repetitions", "0"], says: "--repetitions '0': expected a whole number from 1" },
  { args: ["--fast"], says: "'--fast'" },
])("$args is wrong use: exit code 2, with the reason", ({ args, says }) => {
  const { status, stderr, stdout } = bench(...args);
  expect(status).toBe(2);
  expect(stderr).toContain(says);
  expect(stdout).toBe("");
});

test("the summary of values is their median, 10th and 90th percentile", () => {
  expect(summarise([3])).toEqual({ median: 3, low: 3, high: 3 });
  expect(summarise([4, 1, 2])).toEqual({ median: 2, low: 1.2, high: 3.6 });
  expect(summarise(Array.from({ length: 101 }, (_, k) => 100 - k))).toEqual({
    median: 50,
    low: 10,
    high: 90,
  });
});

test("the operations of a forward are those of its matrix products, counted by hand", () => {
  const shape = { hidden_size: 2, num_attention_heads: 1, intermediate_size: 3, vocab_size: 9 };
  const rest = { model_type: "roberta", max_position_embeddings: 9, type_vocab_size: 1 };
  const flop = (layers: number, tokens: number) =>
    forwardFlop(parseRobertaConfig({ ...shape, ...rest, num_hidden_layers: layers }, "config.json"), tokens);
  // The last layer, 5 tokens: keys and values 2·(2·5·2·2), query and output 2·(2·2·2), attention 2·(2·5·2), feed-forward 2·(2·2·3).
  const last = 80 + 16 + 40 + 24;
  const head = 8 + 4;
  expect(flop(1, 5)).toBe(last + head);
  // A layer for all 5 tokens: four projections 4·(2·5·2·2), attention 2·(2·5·5·2), feed-forward 2·(2·5·2·3).
  expect(flop(2, 5)).toBe(160 + 200 + 120 + last + head);
});
