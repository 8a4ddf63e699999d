import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCoordinator } from "../../coordinator/coordinator.ts";
import { connectToCoordinator } from "../../proto/client.ts";
import type { CoordinatorMessage } from "../../proto/messages.ts";
import type { Operation } from "../../proto/operations.ts";
import { encodeResultEnvelope } from "../../proto/result-envelope.ts";

export interface DispatchBenchOptions {
  readonly steps?: number;
  /** Steps before the clock starts: the first ones compile the code. */
  readonly warmUpSteps?: number;
  readonly tiles?: number;
  readonly workers?: number;
  /** Candidates in a tile, five tokens each. */
  readonly candidates?: number;
  /** Leases that a worker holds at once. */
  readonly window?: number;
}

/**
 * What the coordinator itself costs: milliseconds of each step of score tiles that workers answer without computing,
 * over real gRPC in this process (so the workers' share is in it too): dispatch of all tiles and gathering of all results.
 */
export async function benchDispatch({
  steps = 100,
  warmUpSteps = 50,
  tiles = 64,
  workers = 2,
  candidates = 16,
  window = 16,
}: DispatchBenchOptions = {}): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), "elibad-bench-"));
  const coordinator = await startCoordinator({ artifactFolder: folder, drainMs: 100 });
  const leaving = Array.from({ length: workers }, (_, i) =>
    startZeroWorker(coordinator.address, { id: `w${i}`, window, candidates }),
  );
  try {
    while (coordinator.workers().length < workers) await new Promise((resolve) => setTimeout(resolve, 5));
    const times: number[] = [];
    for (let step = 0; step < warmUpSteps + steps; step++) {
      const operations = Array.from({ length: tiles }, (_, sample) => tileOf(step, sample, candidates));
      const start = performance.now();
      const results = await coordinator.executor.execute(operations);
      const took = performance.now() - start;
      if (results.length !== tiles) throw new Error(`${results.length} results for ${tiles} tiles`);
      if (step >= warmUpSteps) times.push(took);
      // Searches do other work between steps; the workers' credit comes in meanwhile.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return times;
  } finally {
    for (const leave of leaving) leave();
    await coordinator.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function tileOf(step: number, sample: number, candidates: number): Operation {
  const triggers = Array.from({ length: candidates }, (_, c) => [step, c, 30_000 + sample, 40_000, 50_000]);
  return { kind: "score", checkpoint: "c".repeat(64), samples: "d".repeat(64), sample, triggers };
}

/** Answers every lease at once with zeros, and keeps its window full. Returns what ends it. */
function startZeroWorker(
  address: string,
  { id, window, candidates }: { readonly id: string; readonly window: number; readonly candidates: number },
): () => void {
  const client = connectToCoordinator(address);
  const stream = client.work();
  const deviceClass = { provider: "cpu", runtimeVersion: "0", hardware: "none", programForm: "zero" };
  const tensors = { logits: { shape: [candidates, 1], data: new Float32Array(candidates) } };
  stream.on("error", () => {});
  let finished = 0;
  const answer = (fingerprint: string) => {
    const resultEnvelope = encodeResultEnvelope({
      fingerprint,
      workerId: id,
      deviceClass,
      programVersion: "bench",
      outcome: { kind: "tensors", tensors },
      forwards: 0,
      tokens: 0,
      seconds: 0,
    });
    stream.write({ message: "resultEnvelope", resultEnvelope });
    // As the real worker does, credit comes back once per turn of the event loop.
    if (finished++ > 0) return;
    setImmediate(() => {
      stream.write({ message: "credit", credit: { leases: finished } });
      finished = 0;
    });
  };
  stream.on("data", (message: CoordinatorMessage) => {
    if (message.message !== "leases") return;
    for (const { fingerprint } of message.leases.leases) answer(fingerprint);
  });
  stream.write({
    message: "hello",
    hello: {
      workerId: id,
      programVersion: "bench",
      deviceClass,
      memoryBytes: 0,
      cachedCheckpoints: [],
      threads: 1,
    },
  });
  stream.write({ message: "credit", credit: { leases: window } });
  const beating = setInterval(() => {
    const heartbeat = { leaseIds: [], runningLeaseId: 0, childRssBytes: 0 };
    stream.write({ message: "heartbeat", heartbeat });
  }, 1_000);
  return () => {
    clearInterval(beating);
    stream.write({ message: "goodbye", goodbye: { reason: "the bench is over" } });
    stream.end();
    client.close();
  };
}
