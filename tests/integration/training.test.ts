import { describe, expect, test } from "vitest";
import { putSamples } from "../../coordinator/training/sample-artifact.ts";
import { Trainer } from "../../coordinator/training/trainer.ts";
import type { Executor } from "../../proto/operations.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { contrastiveLoss } from "../../worker/training/vector-loss.ts";
import { startCluster } from "../support/cluster.ts";
import { loadWeights } from "../support/golden.ts";
import { trains } from "../support/gradients.ts";
import { hasShared, readSharedJson, sharedPath } from "../support/shared.ts";

const CELL = "code_search-codebert";

interface Case {
  readonly inputs: Readonly<Record<"input_ids" | "query_ids", number[][]>> &
    Readonly<Record<"lengths" | "query_lengths", number[]>>;
}

/** Two steps of code search: all weights, in micro-batches of three rows. */
async function trained(executor: Executor): Promise<Map<string, Float32Array>> {
  const { inputs } = readSharedJson<Case>("golden", "tiny", CELL, "case.json");
  const home = sharedPath("golden", "tiny", CELL);
  const weights = new Map([...(await loadWeights(home))].filter(([name]) => trains(name)));
  const samples = await putSamples(executor, {
    rows: [
      ...inputs.input_ids.map((row, k) => row.slice(0, inputs.lengths[k])),
      ...inputs.query_ids.map((row, k) => row.slice(0, inputs.query_lengths[k])),
    ],
    maxLen: 64,
    endId: 2,
  });
  const checkpoint = await putCheckpoint(executor, home, "code_search");
  const settings = { optimiser: {}, maxGradNorm: 1, microBatch: 3, dropout: 0, seed: 1 };
  const trainer = new Trainer(executor, checkpoint, samples, weights, settings);
  const n = inputs.input_ids.length;
  for (const batch of [
    [0, 1, 2, 3],
    [4, 5, 1],
  ]) {
    const rows = [...batch, ...batch.map((row) => n + row)];
    await trainer.run([{ kind: "vectors", rows, loss: contrastiveLoss, learningRate: 1e-3 }]);
  }
  const last = await trainer.weights();
  await trainer.close();
  return last;
}

describe.skipIf(!hasShared)("training", () => {
  test("gives the same weights, bit for bit, on one worker and on two", async () => {
    const one = await startCluster(1);
    const alone = await trained(one.coordinator.executor);
    const two = await startCluster(2);
    const shared = await trained(two.coordinator.executor);
    expect([...shared.keys()]).toEqual([...alone.keys()]);
    for (const [name, data] of alone) expect(shared.get(name), name).toEqual(data);
  });
});
