import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type Coordinator, startCoordinator } from "../../coordinator/coordinator.ts";
import { canonicalJson } from "../../proto/canonical-json.ts";
import type { ScoreOperation } from "../../proto/operations.ts";
import { programVersion } from "../../worker/program-version.ts";
import { startWorkerProcess, type WorkerProcess } from "./processes.ts";
import { tempFolder } from "./temp-folder.ts";
import { eventually, zeroComputeChild } from "./worker-scenes.ts";

export interface ZeroComputeCluster {
  readonly coordinator: Coordinator;
  /** An operation of the zero-compute child, whose answer is the sample's number. */
  score(sample: number): ScoreOperation;
  /** A worker process whose operations block its child for so long; resolves when the coordinator has it. */
  start(
    id: string,
    options?: { readonly delayMs?: number; readonly drainMs?: number },
  ): Promise<WorkerProcess>;
  /** Leases that a worker has; undefined where it is not connected. */
  leasesOf(id: string): number | undefined;
}

/** A real coordinator for worker processes that compute nothing, all ended with the test. Each operation has one lease at a time. */
export async function zeroComputeCluster(natsUrl?: string): Promise<ZeroComputeCluster> {
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: join(tempFolder(), "artifacts"),
    programVersion: programVersion(),
    ...(natsUrl === undefined ? {} : { nats: { url: natsUrl } }),
    dispatch: { speculateFactor: 0 },
  });
  onTestFinished(() => coordinator.close());
  const { executor } = coordinator;
  const config = Buffer.from("{}");
  const files = [{ name: "config.json", digest: await executor.putArtifact(config), bytes: config.length }];
  const manifest = { task: "defect_detection", files };
  const checkpoint = await executor.putArtifact(Buffer.from(canonicalJson(manifest)));
  const samples = await executor.putArtifact(Buffer.from("samples"));
  const leasesOf = (id: string) => coordinator.workers().find(({ workerId }) => workerId === id)?.leases;
  return {
    coordinator,
    leasesOf,
    score: (sample) => ({ kind: "score", checkpoint, samples, sample, triggers: [[1]] }),
    async start(id, { delayMs = 0, ...options } = {}) {
      const worker = startWorkerProcess({
        ...{
          protection: "plain",
          coordinators: [coordinator.address],
          id,
          cacheFolder: tempFolder(),
          childEntry: zeroComputeChild,
        },
        ...options,
        engineOptions: { delayMs },
      });
      await eventually(() => leasesOf(id) !== undefined, `the worker ${id}`);
      return worker;
    },
  };
}
