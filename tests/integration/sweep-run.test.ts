import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { silentDisplay } from "../../coordinator/cli/progress.ts";
import { openCleanJob } from "../../coordinator/cli/sweep-work.ts";
import { SweepBook } from "../../coordinator/sweep/book.ts";
import { SweepRunner } from "../../coordinator/sweep/runner.ts";
import { findSweep, type SweepSpec } from "../../coordinator/sweep/sweep.ts";
import { LogLostError } from "../../coordinator/sweep/sweep-log.ts";
import type { Task } from "../../proto/operations.ts";
import { createLocalExecutor } from "../../worker/runtime/local-executor.ts";
import { searchSamples } from "../support/demo-rows.ts";
import { demoData, randomTensors, writeRandomModel } from "../support/random-model.ts";
import { readSweepFile } from "../support/read-sweep-file.ts";
import { resultFiles, timeless } from "../support/result-files.ts";
import { MemoryLog } from "../support/sweep-logs.ts";
import { tempFolder } from "../support/temp-folder.ts";

/** Random weights whose answers lie about the threshold, so that a few tokens flip some of them. */
const undecidedTensors = () =>
  randomTensors().map((tensor) =>
    tensor.name.endsWith("out_proj.bias") ? { ...tensor, data: Float32Array.of(BIAS) } : tensor,
  );
const BIAS = -1.35;

/** Two jobs on a small model with random weights, other draws in each. */
async function sweepFile(task: Task): Promise<SweepSpec> {
  const folder = tempFolder();
  const at = (name: string) => join(folder, name);
  const tensors = task === "code_search" ? randomTensors(task) : undecidedTensors();
  for (const name of ["first", "second"]) await writeRandomModel(at(name), { tensors });
  const settings = task === "code_search" ? "seeds: 2, target_len: 1" : "directions: all, inject: ids";
  const samples = task === "code_search" ? searchSamples(50) : join(demoData, "clean_samples.jsonl");
  const rows = readFileSync(samples, "utf8").trim().split("\n");
  writeFileSync(at("samples.jsonl"), `${rows.slice(0, 30).join("\n")}\n`);
  writeFileSync(at("held-out.jsonl"), `${rows.slice(30, 50).join("\n")}\n`);
  writeFileSync(
    at("sweep.yaml"),
    `name: friday
task: ${task}
models: [${at("first")}, ${at("second")}]
samples: ${at("samples.jsonl")}
held_out: ${at("held-out.jsonl")}
max_parallel: 2
settings: { code_max_len: 64, trigger_len: 8, topk: 32, repeat_size: 24, num_samples: 4, epochs: 3, plan: published, trace: true, ${settings} }
overrides: { second: { seed: 5 } }
`,
  );
  return readSweepFile(at("sweep.yaml"));
}

const meter = { searchStarted() {}, searchEnded() {}, stepDone() {}, forwardsSettled() {} };

/** Books and runners over one log and one folder of results, each of whose jobs has an executor in this process. */
function scene() {
  const results = join(tempFolder(), "results");
  const log = new MemoryLog();
  let term = 0;
  return {
    log,
    results,
    async live() {
      const open = openCleanJob({
        results,
        term: ++term,
        newExecutor: () => createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 1 }),
        answerBytes: 2 ** 20,
        meter,
        displayOf: () => silentDisplay,
      });
      const book = await SweepBook.open(log, { now: () => 0, snapshotEvery: 20 });
      const runner = new SweepRunner({ book, open, limit: 2, reasonOf: String });
      onTestFinished(() => runner.close());
      return { book, runner };
    },
  };
}

test.each(["defect_detection", "code_search"] as const)(
  "%s: a sweep that is killed at random commits and started again leaves the same files, to the last bit of every weight and trace",
  async (task) => {
    const sweep = await sweepFile(task);
    const calm = scene();
    const { book, runner } = await calm.live();
    await book.submit(sweep);
    await runner.idle();
    expect(findSweep(book.state, "friday")!.jobs.map(({ state }) => state)).toMatchObject([
      { phase: "done", report: { repair: { plan: "published" }, searches: [{ steps: 3 }, { steps: 3 }] } },
      { phase: "done", report: { searches: [{ steps: 3 }, { steps: 3 }] } },
    ]);
    const expected = ["first", "second"].map((name) => resultFiles(join(calm.results, "friday", name)));
    expect(Object.keys(expected[0]!).sort()).toEqual(
      expect.arrayContaining([
        "repair.json",
        "repaired/model.bin",
        "report.json",
        "result.json",
        "trace.jsonl",
      ]),
    );
    const trace = readFileSync(join(calm.results, "friday", "first", "trace.jsonl"), "utf8")
      .trim()
      .split("\n");
    expect(trace.map((line) => [JSON.parse(line).kind, JSON.parse(line).search])).toEqual(
      [0, 1].flatMap((search) => ["search", "step", "step", "step"].map((kind) => [kind, search])),
    );

    const killed = scene();
    let kills = 0;
    let ended: unknown;
    for (let life = 0; ; life++) {
      // Each life is a little longer than the one before, and dies before a write or after it.
      const fatal = killed.log.appends + 2 + (life % 4);
      killed.log.before = killed.log.after = () => undefined;
      killed.log[life % 2 === 0 ? "after" : "before"] = (append) => {
        if (append !== fatal) return;
        kills++;
        throw new Error("kill -9");
      };
      const { book: again, runner: next } = await killed.live();
      try {
        await again.submit(sweep);
        await next.idle();
        ended = again.state;
        break;
      } catch (error) {
        expect(error).toBeInstanceOf(LogLostError);
        await next.close();
      }
    }
    expect(timeless(ended)).toEqual(timeless(book.state));
    expect(kills).toBeGreaterThanOrEqual(4);
    expect(["first", "second"].map((name) => resultFiles(join(killed.results, "friday", name)))).toEqual(
      expected,
    );
    expect(readdirSync(join(killed.results, "friday")).sort()).toEqual(["first", "second"]);
  },
  600_000,
);
