import { readdirSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { digestOf } from "../../../proto/canonical-json.ts";
import type { TrainRunOperation } from "../../../proto/operations.ts";
import { encodeResultEnvelope } from "../../../proto/result-envelope.ts";
import { encodeTensors } from "../../../proto/tensors.ts";
import {
  eventually,
  type ScriptedWorker,
  scriptedWorker,
  TEST_CLASS,
  TEST_PROGRAM,
} from "../../support/scripted-worker.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const stateOf = (first: number) => encodeTensors({ w: { shape: [2], data: Float32Array.of(first, 0) } });

function upload(worker: ScriptedWorker, data: Uint8Array): Promise<string> {
  const digest = digestOf(data);
  return new Promise((resolve, reject) => {
    const call = worker.client.putArtifact((error) => (error ? reject(error) : resolve(digest)));
    call.write({ digest, data, placed: "" });
    call.end();
  });
}

/** Gives a result of a training run of one step, with its state. */
async function giveState(worker: ScriptedWorker, fingerprint: string, deviceClass = TEST_CLASS) {
  const [weights, means, squares] = [
    await upload(worker, stateOf(1)),
    await upload(worker, stateOf(2)),
    await upload(worker, stateOf(3)),
  ];
  worker.giveBytes(
    encodeResultEnvelope({
      fingerprint,
      workerId: worker.id,
      deviceClass,
      programVersion: TEST_PROGRAM,
      outcome: {
        kind: "tensors",
        tensors: {
          losses: { shape: [1], data: Float64Array.of(1) },
          norms: { shape: [1], data: Float64Array.of(1) },
        },
      },
      artifacts: { weights: weights!, means: means!, squares: squares! },
      forwards: 1,
      tokens: 1,
      seconds: 1,
    }),
  );
  await eventually(() => worker.accepted.includes(fingerprint));
}

const stepFrom = (weights: string): TrainRunOperation => ({
  kind: "train-run",
  checkpoint: "c".repeat(64),
  samples: "d".repeat(64),
  state: { weights, steps: 0 },
  optimiser: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 },
  maxGradNorm: 1,
  dropout: 0,
  steps: [{ kind: "rows", learningRate: 1, microBatches: [] }],
});

test("the state of a result that nobody could use is not kept; that of the one that was used is", async () => {
  const artifactFolder = tempFolder();
  const coordinator = await startCoordinator({ protection: "plain", artifactFolder, drainMs: 100 });
  onTestFinished(() => coordinator.close());
  const { executor } = coordinator;
  const weights = await executor.putArtifact(stateOf(0));
  const operation = stepFrom(weights);
  const holder = scriptedWorker(coordinator.address, { id: "w1", credit: 1 });
  const running = executor.execute([operation]);
  const { fingerprint } = await holder.lease();
  const artifacts = () => readdirSync(artifactFolder).filter((name) => /^[0-9a-f]{64}$/.test(name));

  const odd = { ...TEST_CLASS, provider: "cuda" };
  const other = scriptedWorker(coordinator.address, { id: "w2", deviceClass: odd });
  await giveState(other, fingerprint, odd);
  await eventually(() => artifacts().length === 1);

  await giveState(holder, fingerprint);
  const [result] = await running;
  expect(artifacts().sort()).toEqual([weights, ...Object.values(result!.artifacts!)].sort());
});

test("a state that answers two commands goes with the last of them, whether it lets go of it or ends", async () => {
  const artifactFolder = tempFolder();
  const coordinator = await startCoordinator({ protection: "plain", artifactFolder, drainMs: 100 });
  onTestFinished(() => coordinator.close());
  const executors = [coordinator.newExecutor(), coordinator.newExecutor(), coordinator.newExecutor()];
  const [first, second, third] = executors;
  const weights = await coordinator.executor.putArtifact(stateOf(0));
  const worker = scriptedWorker(coordinator.address, { id: "w1", credit: 1 });
  const running = executors.map((executor) => executor.execute([stepFrom(weights)]));
  const { fingerprint } = await worker.lease();
  await giveState(worker, fingerprint);
  const [results] = await Promise.all(running);
  const { weights: trained, means, squares } = results![0]!.artifacts!;
  const left = () => readdirSync(artifactFolder).filter((name) => [trained, means, squares].includes(name));

  for (const digest of [trained!, means!]) await first!.releaseArtifact(digest);
  // Once more than it holds.
  await first!.releaseArtifact(trained!);
  await second!.close();
  expect(left()).toHaveLength(3);
  await third!.releaseArtifact(means!);
  await first!.releaseArtifact(squares!);
  expect(left().sort()).toEqual([trained, squares].sort());
  await third!.close();
  expect(left()).toEqual([]);
});
