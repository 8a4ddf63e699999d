import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { type CoordinatorClient, connectToCoordinator } from "../../proto/client.ts";
import { packageRoot } from "../../proto/package-root.ts";
import { demoData, writeRandomModel } from "../support/random-model.ts";
import { hasShared, sharedPath } from "../support/shared.ts";
import type { Bench, Scenario } from "./scenario.ts";

const JOBS = 1_000;
/** Jobs that run, that is, have read their input and wait for a worker; the coordinator's default. */
const RUNNING = 16;

/** A scan of real functions with a real tokenizer where ../shared is there, else of the demo's. */
async function scanOptions(folder: string): Promise<Readonly<Record<string, unknown>>> {
  const common = { task: "defect_detection", codeMaxLen: 400, out: join(folder, "out") };
  if (!hasShared) {
    const model = await writeRandomModel(join(folder, "model"));
    return { ...common, model, samples: join(demoData, "clean_samples.jsonl") };
  }
  return {
    ...common,
    model: sharedPath("golden", "trained", "defect-codebert-backdoored"),
    base: sharedPath("data", "tokenizers", "roberta-base"),
    samples: sharedPath("golden", "trained", "defect-data", "clean_samples.jsonl"),
  };
}

/** `elibad coordinator` as users start it. */
async function startCoordinatorProcess({ folder }: Bench) {
  const words = [
    "coordinator",
    "--listen",
    "127.0.0.1:0",
    "--insecure",
    "--artifacts",
    join(folder, "artifacts"),
  ];
  const child = spawn(process.execPath, [join(packageRoot, "coordinator/cli/elibad.mjs"), ...words], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(child, "exit");
  let begun = 0;
  const address = await new Promise<string>((resolve, reject) => {
    exited.then(([code]) => reject(new Error(`the coordinator ended with ${code}`)), reject);
    createInterface({ input: child.stderr }).on("line", (line) => {
      const said = /address=(127\.0\.0\.1:\d+)/.exec(line)?.[1];
      if (said !== undefined) resolve(said);
      if (line.includes("scan begins")) begun++;
    });
  });
  return {
    address,
    begun: () => begun,
    residentMiB: () => {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
    },
    async close() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/** Submits a scan; resolves with why it did not stay. */
function submit(client: CoordinatorClient, optionsJson: string): Promise<string> {
  const call = client.submit({ command: "scan", optionsJson });
  return new Promise((resolve) => {
    call.on("data", (event) => {
      if (event.event === "failed") resolve(event.failed.message);
    });
    call.on("error", (error) => resolve(error.message));
    call.on("end", () => resolve("it ended"));
  });
}

export const coordinatorMemory: Scenario = {
  name: "coordinator-memory",
  about: `resident memory of a coordinator with ${JOBS} scans queued, and no worker`,
  async run(bench) {
    if (process.platform !== "linux")
      return { measurements: [], notes: ["not measured: it is read from Linux's process table"] };
    const options = await scanOptions(bench.folder);
    const coordinator = await startCoordinatorProcess(bench);
    const client = connectToCoordinator(coordinator.address, "plain");
    try {
      const before = coordinator.residentMiB();
      let gone: string | undefined;
      for (let k = 0; k < JOBS; k++)
        void submit(client, JSON.stringify({ ...options, seed: k })).then((reason) => {
          gone ??= reason;
        });
      while (coordinator.begun() < RUNNING && gone === undefined) await pause(50);
      // Until those have read their input.
      const values: number[] = [];
      for (let second = 0; second < 20; second++) {
        await pause(1_000);
        if (gone !== undefined) throw new Error(`a scan did not wait: ${gone}`);
        if (second >= 15) values.push(coordinator.residentMiB());
      }
      return {
        measurements: [
          { name: "before", unit: "MiB", values: [before] },
          {
            name: `${JOBS} scans queued`,
            unit: "MiB",
            values,
            target: { bound: "at most", value: 300 },
          },
        ],
        notes: [
          `${RUNNING} of them run, that is, have read their input and wait for a worker; the others wait as their options`,
          `${hasShared ? "roberta-base's tokenizer, 364 functions" : "the demo's model and functions"}; a process of its own, clients in another one; looked at once a second, from the 16th`,
        ],
      };
    } finally {
      client.close();
      await coordinator.close();
    }
  },
};
