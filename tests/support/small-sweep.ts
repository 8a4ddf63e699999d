import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentDisplay } from "../../coordinator/cli/progress.ts";
import { openCleanJob } from "../../coordinator/cli/sweep-work.ts";
import { SweepBook } from "../../coordinator/sweep/book.ts";
import { SweepRunner } from "../../coordinator/sweep/runner.ts";
import type { SweepsState } from "../../coordinator/sweep/sweep.ts";
import { createLocalExecutor } from "../../worker/runtime/local-executor.ts";
import type { OnEnd } from "./on-end.ts";
import { demoData, randomTensors, writeRandomModel } from "./random-model.ts";
import { readSweepFile } from "./read-sweep-file.ts";
import { resultFiles } from "./result-files.ts";
import { MemoryLog } from "./sweep-logs.ts";
import { tempFolder } from "./temp-folder.ts";

/** A sweep of small models with random weights, in files. */
export interface SmallSweep {
  readonly name: string;
  readonly file: string;
  readonly jobs: readonly string[];
  /** The checkpoint folder of a job. */
  modelOf(job: string): string;
}

/** Answers lie about the threshold, so that a few tokens flip some of them. */
const UNDECIDED_BIAS = -1.35;

/** Writes models m1, m2, … that differ in their weights, and a sweep of them: a direction, three steps, the head repaired. */
export async function writeSmallSweep(
  jobs: number,
  {
    name = "friday",
    maxParallel = 4,
    epochs = 3,
    onEnd,
  }: {
    readonly name?: string;
    readonly maxParallel?: number;
    readonly epochs?: number;
    readonly onEnd?: OnEnd;
  } = {},
): Promise<SmallSweep> {
  const folder = tempFolder(onEnd);
  const names = Array.from({ length: jobs }, (_, k) => `m${k + 1}`);
  for (const [k, job] of names.entries()) {
    const tensors = randomTensors("defect_detection", 7 + k).map((tensor) =>
      tensor.name.endsWith("out_proj.bias") ? { ...tensor, data: Float32Array.of(UNDECIDED_BIAS) } : tensor,
    );
    await writeRandomModel(join(folder, job), { tensors });
  }
  const rows = readFileSync(join(demoData, "clean_samples.jsonl"), "utf8").trim().split("\n");
  writeFileSync(join(folder, "samples.jsonl"), `${rows.slice(0, 30).join("\n")}\n`);
  writeFileSync(join(folder, "held-out.jsonl"), `${rows.slice(30, 50).join("\n")}\n`);
  const file = join(folder, "sweep.yaml");
  writeFileSync(
    file,
    `name: ${name}
task: defect_detection
models: [${names.map((job) => join(folder, job)).join(", ")}]
samples: ${join(folder, "samples.jsonl")}
held_out: ${join(folder, "held-out.jsonl")}
max_parallel: ${maxParallel}
settings: { code_max_len: 64, trigger_len: 6, topk: 16, repeat_size: 16, num_samples: 4, epochs: ${epochs}, target_loss: 0, plan: published, inject: ids, trace: true }
`,
  );
  return { name, file, jobs: names, modelOf: (job) => join(folder, job) };
}

/** What a sweep gives without a cluster and without faults: state and files of its jobs, which lie in no folder afterwards. */
export async function calmSweep(
  sweep: SmallSweep,
  onEnd?: OnEnd,
): Promise<{ readonly state: SweepsState; readonly files: ReadonlyMap<string, unknown> }> {
  const results = join(tempFolder(onEnd), "results");
  const book = await SweepBook.open(new MemoryLog(), { now: () => 0 });
  const open = openCleanJob({
    results,
    newExecutor: () => createLocalExecutor({ folder: join(tempFolder(onEnd), "executor"), threads: 1 }),
    answerBytes: 2 ** 20,
    meter: { searchStarted() {}, searchEnded() {}, stepDone() {}, forwardsSettled() {} },
    displayOf: () => silentDisplay,
    term: 1,
  });
  const runner = new SweepRunner({ book, open, limit: 1, reasonOf: String });
  await book.submit(readSweepFile(sweep.file));
  await runner.idle();
  await runner.close();
  const files = new Map(sweep.jobs.map((job) => [job, resultFiles(join(results, sweep.name, job))]));
  return { state: book.state, files };
}
