import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { LeaderCalls } from "../../coordinator/cli/leader-calls.ts";
import { answerOf, eachOf } from "../../coordinator/cli/sweep-client.ts";
import type { JobRowMessage, SweepSubmittedMessage } from "../../proto/sweep-messages.ts";
import { demoData, writeRandomModel } from "../support/random-model.ts";
import { freeAddress, startCoordinatorProcess } from "../support/sweep-processes.ts";
import { tempFolder } from "../support/temp-folder.ts";

const JOBS = 1_000;

/** Seconds of processor time that a process had so far. */
function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  // Fields 14 and 15, in ticks of 10 ms.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const residentMiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;

test.skipIf(process.platform !== "linux")(
  "a thousand jobs are submitted in 10 s of processor time and listed in 1 s over gRPC, and a coordinator with all of them in its queue has less than 300 MB",
  async () => {
    const folder = tempFolder();
    const model = await writeRandomModel(join(folder, "model"));
    const models = Array.from({ length: JOBS }, (_, k) => `  - m${k}: ${model}`).join("\n");
    const text = `name: large\nmodels:\n${models}\nsamples: ${join(demoData, "clean_samples.jsonl")}\nmax_parallel: 100\nsettings: { code_max_len: 64 }\n`;
    writeFileSync(join(folder, "large.yaml"), text);
    const coordinator = startCoordinatorProcess(await freeAddress(), ["--state", join(folder, "state")]);
    await coordinator.said(/leading/);
    const { signal } = new AbortController();
    const calls = new LeaderCalls([coordinator.address], "plain", signal);
    onTestFinished(() => calls.close());
    const pid = coordinator.process.pid!;
    /** The coordinator's own time: other processes hardly change it. */
    const timed = async <T>(act: () => Promise<T>): Promise<[number, T]> => {
      const begun = cpuSecondsOf(pid);
      const value = await act();
      return [cpuSecondsOf(pid) - begun, value];
    };

    const [submitSeconds, submitted] = await timed(() =>
      calls.with((client) =>
        answerOf<SweepSubmittedMessage>(
          (done) => client.submitSweep({ name: "large.yaml", text, folder }, done),
          signal,
        ),
      ),
    );
    expect(submitted.sweep.jobs).toBe(JOBS);
    // Eight of them have read their input, and wait for a worker.
    for (let started = 0; started < 8; started++)
      await coordinator.said(new RegExp(`(the job was started[\\s\\S]*){${started + 1}}`));
    const [listSeconds, jobs] = await timed(() =>
      calls.with(async (client) => {
        const rows: JobRowMessage[] = [];
        const request = { sweep: "large", once: true };
        await eachOf(client.watchSweep(request), signal, (change) => void rows.push(...change.jobs));
        return rows;
      }),
    );
    const memory = residentMiB(pid);
    expect(jobs.map(({ name }) => name)).toEqual(Array.from({ length: JOBS }, (_, k) => `m${k}`));
    expect(jobs.filter(({ phase }) => phase === "scanning")).toHaveLength(8);
    expect(submitSeconds).toBeLessThan(10);
    expect(listSeconds).toBeLessThan(1);
    expect(memory).toBeLessThan(300);
  },
  300_000,
);
