/**
 * A worker process of its own: `node dist/worker/main.js '<WorkerOptions as JSON>'`. Commands that start workers on this
 * machine start this; a person starts `elibad worker`, which has the same body.
 *
 * SIGTERM and SIGINT drain it, a second one ends it at once; its child ends with it in every case. Exit codes: 0 drained,
 * 1 refused or failed, 2 wrong options.
 */

import type { WorkerOptions } from "./options.ts";
import { exitCodeOfWorker, runWorker } from "./run.ts";

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(130);
    stop.abort(new Error(`received ${signal}`));
  });
}

try {
  const options = JSON.parse(process.argv[2] ?? "{}") as WorkerOptions;
  if (options.endWithStdin) {
    // The command that started this worker is gone, so nobody waits for what it holds.
    process.stdin.resume().once("end", () => process.exit(1));
  }
  process.exit(exitCodeOfWorker(await runWorker(options, stop.signal)));
} catch (error) {
  const { name, message } = error as Error;
  process.stderr.write(`elibad worker: ${message}\n`);
  process.exit(name === "WorkerOptionsError" || name === "SyntaxError" ? 2 : 1);
}
