import { type ChildProcess, spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { packageRoot } from "../../proto/package-root.ts";
import type { WorkerOptions } from "../../worker/options.ts";

/** Worker processes of one command on this machine. */
export interface LocalWorkers {
  /** Rejects when workers cannot be kept running; never resolves. */
  readonly failed: Promise<never>;
  /** Ends every process, at the latest after `graceMs`. */
  close(graceMs?: number): Promise<void>;
}

/** Starts of one worker within a minute after which the command gives up. */
const MOST_STARTS = 5;

/** Threads of each of `workers` processes, so that together they use every core once. */
export const threadsFor = (workers: number): number =>
  Math.max(1, Math.floor(availableParallelism() / workers));

/** Starts worker processes that dial `address`; one that dies is started again, since its leases go to others in the meantime. */
export function startLocalWorkers(
  count: number,
  options: WorkerOptions,
  say: (line: string) => void,
): LocalWorkers {
  const running = new Set<ChildProcess>();
  let closing = false;
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined);

  const start = (index: number, starts: readonly number[]): void => {
    const child = spawn(
      process.execPath,
      [join(packageRoot, "dist", "worker", "main.js"), JSON.stringify({ ...options, endWithStdin: true })],
      // Nothing is written to its stdin: a worker that sees it end knows that this process is gone.
      { stdio: ["pipe", "ignore", "pipe"] },
    );
    running.add(child);
    let lastLine = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      lastLine = text.trim().split("\n").at(-1) ?? lastLine;
    });
    child.once("error", (cause) => fail(new Error("a worker process could not be started", { cause })));
    child.once("exit", (code, signal) => {
      running.delete(child);
      if (closing) return;
      const recent = [...starts.filter((at) => at > performance.now() - 60_000), performance.now()];
      const how = signal ?? `exit code ${code}`;
      if (code === 1 || code === 2 || recent.length > MOST_STARTS) {
        fail(new Error(`worker ${index + 1} ended (${how})${lastLine ? `: ${lastLine}` : ""}`));
        return;
      }
      say(`worker ${index + 1} ended (${how}); its work goes to others, and it is started again`);
      start(index, recent);
    });
  };
  for (let index = 0; index < count; index++) start(index, [performance.now()]);

  return {
    failed,
    async close(graceMs = 3_000) {
      closing = true;
      for (const child of running) child.kill("SIGTERM");
      const deadline = performance.now() + graceMs;
      while (running.size > 0 && performance.now() < deadline) await pause(10);
      for (const child of running) child.kill("SIGKILL");
      while (running.size > 0) await pause(10);
    },
  };
}
