import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Digest, Executor, Operation, OperationResult, SampleSet } from "../../proto/operations.ts";
import { createLocalExecutor } from "../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { counted, killBusyWorker, startCluster } from "../support/cluster.ts";
import { type GoldenCell, putJson } from "../support/golden-cell.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { hasShared, readSharedJson, sharedPath } from "../support/shared.ts";
import { tempFolder } from "../support/temp-folder.ts";

const CELL = "defect_detection-codebert";

/** A batch as a search asks for, several times over so that it takes a while: gradients of chunks of rows, and tiles of different triggers. */
async function batchOn(executor: Executor): Promise<Operation[]> {
  const golden = readSharedJson<GoldenCell>("golden", "tiny", CELL, "case.json");
  const checkpoint = await putCheckpoint(executor, sharedPath("golden", "tiny", CELL), "defect_detection");
  const sampleSet: SampleSet = {
    rows: golden.inputs.input_ids.map((row, index) => row.slice(0, golden.inputs.lengths[index])),
    insertIndexes: golden.trigger.insert_index,
    maxLen: golden.cell.block,
    endId: golden.cell.ids.eos_restored,
  };
  const samples: Digest = await putJson(executor, sampleSet);
  const rows = sampleSet.rows.map((_, row) => row);
  const rounds = Array.from({ length: 20 }, (_, round) => round);
  return rounds.flatMap((round): Operation[] => {
    const first = golden.gradient.vocab[round]!;
    const triggers = golden.candidates.triggers.map((trigger) => [first, ...trigger.slice(1)]);
    const trigger = triggers[0]!;
    return [
      ...rows.map((sample): Operation => ({ kind: "score", checkpoint, samples, sample, triggers })),
      {
        kind: "gradient",
        checkpoint,
        samples,
        rows: rows.slice(0, 3),
        trigger,
        objective: { kind: "label", label: 0 },
      },
      {
        kind: "gradient",
        checkpoint,
        samples,
        rows: rows.slice(3),
        trigger,
        objective: { kind: "label", label: 0 },
      },
    ];
  });
}

/** Every bit of the results, as one line each. */
const bitsOf = (results: readonly OperationResult[]): string[] =>
  results.map(({ tensors }) =>
    Object.entries(tensors)
      .map(([name, { shape, data }]) => {
        const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
        return `${name}[${shape}] ${bytes.toString("base64")}`;
      })
      .join("\n"),
  );

/** The same operations by the engine in this process. */
async function bitsOfLocalEngine(): Promise<readonly string[]> {
  const local = await createLocalExecutor({ folder: join(tempFolder(), "local"), threads: 1 });
  const bits = bitsOf(await local.execute(await batchOn(local)));
  await local.close();
  return bits;
}

describe.skipIf(!hasShared)("operations of a real model on worker processes", () => {
  let known: Promise<readonly string[]> | undefined;
  const expected = () => {
    known ??= bitsOfLocalEngine();
    return known;
  };

  test("one worker gives the bits that the engine gives in this process", async () => {
    const { coordinator } = await startCluster(1);
    const batch = await batchOn(coordinator.executor);
    expect(bitsOf(await coordinator.executor.execute(batch))).toEqual(await expected());
  });

  test.each(["stream", "nats"] as const)(
    "two workers, one of them killed in the middle, give the same bits, results by %s",
    async (path) => {
      const nats = path === "nats" ? await startNatsServer() : undefined;
      const { coordinator, processes } = await startCluster(2, nats?.url);
      const batch = await batchOn(coordinator.executor);
      const first = await coordinator.executor.execute(batch.slice(0, 40));
      const [rest, lost] = await Promise.all([
        coordinator.executor.execute(batch.slice(40)),
        killBusyWorker(coordinator, processes),
      ]);
      expect(bitsOf([...first, ...rest])).toEqual(await expected());
      expect(lost).toBeGreaterThan(0);
      expect(await counted(coordinator, "leases_ended_total", { reason: "lost" })).toBe(lost);
      expect(coordinator.workers().map(({ workerId }) => workerId)).toEqual(["w2"]);
      expect(await counted(coordinator, "results_total", { path, fate: "used" })).toBe(batch.length);
    },
  );
});
