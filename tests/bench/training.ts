import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { startLocalWorkers } from "../../coordinator/cli/local-workers.ts";
import { type Coordinator, startCoordinator } from "../../coordinator/coordinator.ts";
import { meanOf } from "../../coordinator/training/example.ts";
import type { StepRecord } from "../../coordinator/training/head-trainer.ts";
import type { PlannedStep } from "../../coordinator/training/planned-step.ts";
import { putSamples } from "../../coordinator/training/sample-artifact.ts";
import { Trainer } from "../../coordinator/training/trainer.ts";
import { noncePath } from "../../proto/artifact-layout.ts";
import { programVersion } from "../../worker/program-version.ts";
import { loadWeights } from "../support/golden.ts";
import { trains } from "../support/gradients.ts";
import { uniform } from "../support/uniform.ts";
import type { BenchModel } from "./models.ts";
import { randomRow, rowEnds } from "./random-rows.ts";
import type { Bench, Scenario } from "./scenario.ts";

const STEPS = 3;
const BATCH = { rows: 8, tokens: 128, microBatch: 4 };
const WORKERS = 2;

/** What steps took and moved, per step. */
interface Cost {
  readonly seconds: number;
  readonly megabytes: number;
  readonly records: readonly StepRecord[];
}

const FORMS = {
  "data-parallel": { ownedAboveBytes: Number.POSITIVE_INFINITY },
  owned: { ownedAboveBytes: 0 },
} as const;

/** Trains all weights for a few steps, after one that compiles the programs and brings the checkpoint to the workers. */
async function costOf(
  coordinator: Coordinator,
  {
    model,
    form,
    bench,
  }: { readonly model: BenchModel; readonly form: keyof typeof FORMS; readonly bench: Bench },
): Promise<Cost> {
  bench.say(`${model.about}: ${form} training`);
  const executor = coordinator.newExecutor();
  const draw = uniform(BATCH.tokens);
  const rows = Array.from({ length: BATCH.rows }, () => randomRow(BATCH.tokens, model.config, draw));
  const samples = await putSamples(executor, {
    rows,
    maxLen: BATCH.tokens,
    endId: rowEnds(model.config).restored,
  });
  const weights = new Map([...(await loadWeights(model.folder))].filter(([name]) => trains(name)));
  const trainer = new Trainer(executor, model.checkpoint, samples, weights, {
    ...{ optimiser: {}, maxGradNorm: 1, microBatch: BATCH.microBatch, dropout: 0, seed: 1 },
    ...FORMS[form],
  });
  const step: PlannedStep = {
    kind: "rows",
    batch: meanOf(rows.map((_, row) => ({ row, objective: { kind: "label", label: row % 2 } }))),
    learningRate: 1e-5,
  };
  try {
    await trainer.run([step]);
    const movedBefore = await movedBytes(coordinator);
    const startedAt = performance.now();
    const records = await trainer.run(Array.from({ length: STEPS }, () => step));
    const seconds = (performance.now() - startedAt) / 1000 / STEPS;
    const megabytes = ((await movedBytes(coordinator)) - movedBefore) / 1e6 / STEPS;
    return { seconds, megabytes, records };
  } finally {
    await trainer.close();
    await executor.close();
  }
}

async function movedBytes({ metrics }: Coordinator): Promise<number> {
  const { values } = await metrics.registry.getSingleMetric("elibad_coordinator_artifact_bytes_total")!.get();
  return values.reduce((sum, { value }) => sum + value, 0);
}

/** A coordinator and workers that share no folder, as on machines of their own. */
async function withWorkersApart<T>(bench: Bench, work: (coordinator: Coordinator) => Promise<T>): Promise<T> {
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: bench.models.artifactFolder,
    programVersion: programVersion(),
  });
  rmSync(noncePath(coordinator.artifacts.folder, coordinator.artifacts.nonce));
  const threads = Math.max(1, Math.floor(bench.threads / WORKERS));
  const started = await Promise.all(
    Array.from({ length: WORKERS }, async () => {
      const cacheFolder = await mkdtemp(join(bench.folder, "cache-"));
      const coordinators = [coordinator.address];
      return startLocalWorkers(
        1,
        { protection: "plain", coordinators, cacheFolder, threads, logLevel: "error" },
        bench.say,
      );
    }),
  );
  try {
    return await Promise.race([work(coordinator), ...started.map(({ failed }) => failed)]);
  } finally {
    await Promise.all(started.map((workers) => workers.close()));
    await coordinator.close();
  }
}

export const trainingBase: Scenario = {
  name: "training-base",
  about:
    "steps of all weights in the shape of codebert-base on 2 workers apart: data-parallel, and owned by one of them",
  async run(bench) {
    const model = await bench.models.base();
    const parallel: Cost[] = [];
    const owned: Cost[] = [];
    for (let k = 0; k < bench.repetitions(2); k++) {
      await withWorkersApart(bench, async (coordinator) => {
        parallel.push(await costOf(coordinator, { model, form: "data-parallel", bench }));
        owned.push(await costOf(coordinator, { model, form: "owned", bench }));
      });
      const [known, given] = [parallel.at(-1)!.records, owned.at(-1)!.records];
      if (JSON.stringify(known) !== JSON.stringify(given))
        throw new Error(`the forms differ: ${JSON.stringify(known)} and ${JSON.stringify(given)}`);
    }
    const each = (costs: readonly Cost[], what: "seconds" | "megabytes") => costs.map((cost) => cost[what]);
    return {
      measurements: [
        { name: "data-parallel step", unit: "s", values: each(parallel, "seconds") },
        { name: "owned step", unit: "s", values: each(owned, "seconds") },
        {
          name: "data-parallel ÷ owned",
          unit: "×",
          values: parallel.map(({ seconds }, k) => seconds / owned[k]!.seconds),
        },
        { name: "moved by a data-parallel step", unit: "MB", values: each(parallel, "megabytes") },
        { name: "moved by an owned step", unit: "MB", values: each(owned, "megabytes") },
      ],
      notes: [
        model.about,
        `${STEPS} steps of ${BATCH.rows}×${BATCH.tokens} tokens in micro-batches of ${BATCH.microBatch}, the owned ones one segment; losses and norms are compared`,
        "an owned segment moves its state once, whatever its length",
      ],
    };
  },
};
