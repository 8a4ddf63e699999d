import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ProgramForm } from "../../proto/operations.ts";
import { programVersion } from "../../worker/program-version.ts";
import type { Coordinator } from "../coordinator.ts";
import type { CommandContext } from "./command.ts";
import type { clusterOptions } from "./common-options.ts";
import { startLocalWorkers, threadsFor } from "./local-workers.ts";
import { requireNatsUrl } from "./nats-options.ts";
import type { Parsed } from "./options.ts";
import { startCommandsCoordinator } from "./start-coordinator.ts";

/** How often a command that nobody computes for says why. */
const WAITING_MS = 10_000;

/**
 * Runs `work` on a coordinator in this process and worker processes that it starts, and ends everything afterwards, however `work` ends.
 *
 * @throws what `work` throws, or an error naming the option that the coordinator cannot start with
 */
export async function withLocalCluster<T>(
  options: Parsed<typeof clusterOptions> & { readonly programForm?: ProgramForm | undefined },
  { display, signal }: CommandContext,
  work: (coordinator: Coordinator) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "elibad-cluster-"));
  let coordinator: Coordinator | undefined;
  let workers: ReturnType<typeof startLocalWorkers> | undefined;
  let waiting: NodeJS.Timeout | undefined;
  try {
    coordinator = await startCommandsCoordinator({
      listen: options.listen,
      protection: "plain",
      artifactFolder: join(folder, "artifacts"),
      programVersion: programVersion(),
      ...(options.nats === undefined ? {} : { nats: { url: requireNatsUrl(options.nats) } }),
      ...(options.metricsPort === undefined ? {} : { metrics: { port: options.metricsPort } }),
    });
    if (options.metricsPort !== undefined)
      display.line(`metrics: http://${coordinator.metricsAddress}/metrics`);
    if (options.workers === 0) display.line(`waiting for workers at ${coordinator.address}`);
    workers = startLocalWorkers(
      options.workers,
      {
        coordinators: [coordinator.address],
        protection: "plain",
        device: options.device,
        form: options.programForm ?? "primitive",
        threads: options.threads ?? threadsFor(Math.max(1, options.workers)),
        cacheFolder: join(folder, "cache"),
        logLevel: "error",
      },
      (line) => display.line(line),
    );
    const { waitingReason } = coordinator;
    waiting = setInterval(() => {
      const reason = waitingReason();
      if (reason !== undefined) display.line(`waiting: ${reason}`);
    }, WAITING_MS);
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(new DOMException("interrupted", "AbortError")), {
        once: true,
      });
    });
    return await Promise.race([work(coordinator), workers.failed, aborted]);
  } finally {
    clearInterval(waiting);
    await Promise.all([workers?.close(), coordinator?.close()]);
    rmSync(folder, { recursive: true, force: true });
  }
}
