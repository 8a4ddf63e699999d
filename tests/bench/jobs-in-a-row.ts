import { readdirSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { startLocalWorkers } from "../../coordinator/cli/local-workers.ts";
import { serveCommands } from "../../coordinator/cli/serve-commands.ts";
import { startCoordinator } from "../../coordinator/coordinator.ts";
import type { CommandEvent } from "../../proto/messages.ts";
import { programVersion } from "../../worker/program-version.ts";
import { demoData, writeRandomModel } from "../support/random-model.ts";
import type { Scenario } from "./scenario.ts";

/** What is there after a job. */
export interface AfterJob {
  /** Of this process, after a garbage collection. */
  readonly heapBytes: number;
  /** Files and folders in the coordinator's artifact folder. */
  readonly artifacts: number;
  /** The same in the worker's cache, which keeps artifacts until it is full. */
  readonly cached: number;
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Runs small scans of one model, with other seeds, one after the other through one coordinator and one worker process. */
export async function runJobsInARow(
  jobs: number,
  folder: string,
  say: (text: string) => void,
): Promise<AfterJob[]> {
  const model = await writeRandomModel(join(folder, "model"));
  const cacheFolder = await mkdtemp(join(folder, "cache-"));
  const commands = serveCommands({ info: () => {}, warn: () => {} }, 4);
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: join(folder, "artifacts"),
    programVersion: programVersion(),
    submit: commands.submit,
  });
  commands.useCoordinator(coordinator);
  const workers = startLocalWorkers(
    1,
    { protection: "plain", coordinators: [coordinator.address], cacheFolder, threads: 1, logLevel: "error" },
    say,
  );
  const failing = new AbortController();
  workers.failed.catch((error: unknown) => failing.abort(error));
  const after: AfterJob[] = [];
  try {
    for (let job = 0; job < jobs; job++) {
      const options = {
        task: "defect_detection",
        model,
        samples: join(demoData, "clean_samples.jsonl"),
        out: join(folder, `out-${job}`),
        seed: job,
        epochs: 1,
        repeatSize: 4,
        numSamples: 2,
        codeMaxLen: 64,
      };
      let last: CommandEvent | undefined;
      const request = { command: "scan", optionsJson: JSON.stringify(options) };
      const ended = commands.submit(
        request,
        (event) => {
          last = event;
        },
        failing.signal,
      );
      await ended;
      if (last?.event !== "resultJson") throw new Error(`job ${job}: ${JSON.stringify(last)}`);
      last = undefined;
      collectGarbage();
      after.push({
        heapBytes: process.memoryUsage().heapUsed,
        artifacts: readdirSync(coordinator.artifacts.folder, { recursive: true }).length,
        cached: readdirSync(cacheFolder, { recursive: true }).length,
      });
    }
  } finally {
    await commands.close();
    await workers.close();
    await coordinator.close();
  }
  return after;
}

const JOBS = 100;
/** After it, everything that is made once has been made. */
const SETTLED = 20;

export const jobsInARow: Scenario = {
  name: "jobs-in-a-row",
  about: `${JOBS} small scans through one coordinator and one worker: what is left after each`,
  async run({ folder, say }) {
    const after = await runJobsInARow(JOBS, await mkdtemp(join(folder, "jobs-")), say);
    const [early, late] = [after[SETTLED - 1]!, after.at(-1)!];
    return {
      measurements: [
        {
          name: `heap, growth from job ${SETTLED} to ${JOBS}`,
          unit: "KiB/job",
          values: [(late.heapBytes - early.heapBytes) / 1024 / (JOBS - SETTLED)],
        },
        { name: `heap after job ${JOBS}`, unit: "MiB", values: [late.heapBytes / 2 ** 20] },
        {
          name: "files of the coordinator, growth",
          unit: "",
          values: [late.artifacts - early.artifacts],
        },
        { name: "files of the worker, growth", unit: "", values: [late.cached - early.cached] },
      ],
      notes: [
        "heap after a garbage collection, in the coordinator's process; what still grows after so few jobs is compiled code",
        "a worker keeps artifacts until its cache is full",
      ],
    };
  },
};
