import { join } from "node:path";
import { expect, test } from "vitest";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { putJson } from "../../support/golden-cell.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const MODEL = ["golden", "trained", "defect-codebert-backdoored"];

interface Expected {
  readonly inversion: Record<
    "1->0",
    {
      readonly sample_rows: readonly { readonly ids: readonly number[]; readonly insert_index: number }[];
      readonly search: {
        readonly steps: readonly {
          readonly candidates: readonly (readonly number[])[];
          readonly losses: readonly number[];
          readonly winner: number;
        }[];
      };
    }
  >;
}

test.skipIf(!hasShared)(
  "the trained model scores a step's best and worst candidates to the recorded losses",
  async () => {
    const { inversion } = readSharedJson<Expected>(...MODEL, "expected.json");
    const { sample_rows: rows, search } = inversion["1->0"];
    const step = search.steps[5]!;
    // A few candidates tell as much as 64 about the engine: the winner, the worst and two others.
    const worst = step.losses.indexOf(Math.max(...step.losses));
    const chosen = [step.winner, worst, 0, 63];
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 2 });
    const checkpoint = await putCheckpoint(executor, sharedPath(...MODEL), "defect_detection");
    const samples = await putJson(executor, {
      rows: rows.map(({ ids }) => ids),
      insertIndexes: rows.map(({ insert_index }) => insert_index),
      maxLen: 400,
      endId: 2,
    });
    const triggers = chosen.map((candidate) => step.candidates[candidate]!);

    const results = await executor.execute(
      rows.map((_, sample) => ({ kind: "score", checkpoint, samples, sample, triggers })),
    );

    for (const [at, candidate] of chosen.entries()) {
      // Toward label 0: −ln(p₀ + 1e-10), as the file records it.
      const losses = results.map(
        ({ tensors }) => -Math.log(1 / (1 + Math.exp(tensors.logits!.data[at]!)) + 1e-10),
      );
      const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
      expect(Math.abs(mean - step.losses[candidate]!), `candidate ${candidate}`).toBeLessThan(1e-5);
    }
    await executor.close();
  },
);
