import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { ArtifactStore } from "../../../coordinator/dispatch/artifact-store.ts";
import { Dispatcher } from "../../../coordinator/dispatch/dispatcher.ts";
import { CoordinatorClosedError, DistrustedResultsError } from "../../../coordinator/dispatch/errors.ts";
import { deviceClassName } from "../../../coordinator/dispatch/hello.ts";
import { DispatchSettings } from "../../../coordinator/dispatch/settings.ts";
import { readCluster } from "../../../coordinator/dispatch/views.ts";
import { ResultIntake } from "../../../coordinator/gather/intake.ts";
import { CoordinatorMetrics } from "../../../coordinator/http/coordinator-metrics.ts";
import type { LeaseMessage } from "../../../proto/messages.ts";
import { fingerprintOf, operationFromMessage } from "../../../proto/operation-codec.ts";
import { encodeResultEnvelope } from "../../../proto/result-envelope.ts";
import { counted } from "../../support/cluster.ts";
import {
  diligent,
  eventually,
  rightAnswer,
  type ScriptedWorker,
  scriptedWorker,
  TEST_CLASS,
  TEST_PROGRAM,
  tile,
} from "../../support/scripted-worker.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** Answers with one bit of one logit flipped. */
const lying = (lease: LeaseMessage, worker: ScriptedWorker): void => {
  const answer = rightAnswer(operationFromMessage(lease.operation));
  const bytes = new Uint8Array(answer.logits!.data.buffer);
  bytes[0]! ^= 1;
  worker.give(lease.fingerprint, answer);
  worker.credit(1);
};

async function cluster(recheckRate: number) {
  const expelled: string[] = [];
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: tempFolder(),
    drainMs: 100,
    dispatch: { recheckRate },
    onExpelled: (workerId) => void expelled.push(workerId),
  });
  onTestFinished(() => coordinator.close());
  const dial = async (id: string, answer = diligent) => {
    const worker = scriptedWorker(coordinator.address, { id, credit: 4, answer });
    await eventually(() => worker.welcome ?? worker.refusal);
    return worker;
  };
  return { coordinator, expelled, dial };
}

const tiles = Array.from({ length: 30 }, (_, k) => tile(k));

test("a worker that flips a bit is found, expelled and refused; who used its results is told, and others compute on", async () => {
  const { coordinator, expelled, dial } = await cluster(1);
  const liar = await dial("liar", lying);
  for (const id of ["w1", "w2"]) await dial(id);
  const executor = coordinator.newExecutor();
  const run = executor.execute(tiles).then(() => executor.provenance.settled());
  await expect(run).rejects.toThrow(DistrustedResultsError);
  await expect(executor.execute([tile(99)])).rejects.toThrow(
    /^results that this was computed from may be wrong: worker liar was expelled/,
  );
  expect(expelled).toEqual(["liar"]);
  await eventually(() => liar.refusal?.startsWith("it was expelled, since its result of operation score"));
  const again = await dial("liar", lying);
  expect(again.refusal).toMatch(/^worker_id liar: it was expelled, since its result/);
  const honest = coordinator.newExecutor();
  const results = await honest.execute(tiles);
  expect(results.map(({ tensors }) => tensors.logits!.data[0])).toEqual(tiles.map((_, k) => k + 1));
  await honest.provenance.settled();
  expect(honest.provenance.uncheckedSince(0).workers).toEqual([]);
  expect(await counted(coordinator, "workers_expelled_total")).toBe(1);
  expect(await counted(coordinator, "checks_total", { outcome: "equal" })).toBeGreaterThanOrEqual(30);
});

test("honest workers are never expelled, and what is not drawn stays unchecked", async () => {
  const { coordinator, expelled, dial } = await cluster(0.3);
  for (const id of ["w1", "w2", "w3"]) await dial(id);
  const executor = coordinator.newExecutor();
  await executor.execute(tiles);
  await executor.provenance.settled();
  expect(executor.provenance.given).toBe(30);
  expect(executor.provenance.uncheckedSince(0).workers.length).toBeGreaterThan(0);
  const ended = await counted(coordinator, "checks_total");
  expect(ended).toBeGreaterThan(0);
  expect(ended).toBeLessThan(30);
  expect(expelled).toEqual([]);
});

test("what an expelled worker sent ahead is not kept for who asks for it after a restart", async () => {
  const store = await ArtifactStore.open(tempFolder());
  const [logger, settings] = [pino({ level: "silent" }), DispatchSettings.parse({})];
  const metrics: CoordinatorMetrics = new CoordinatorMetrics(
    readCluster(
      () => dispatcher.state,
      () => dispatcher.nowMs,
    ),
  );
  const dispatcher = new Dispatcher({
    ...{ settings, observer: metrics, logger },
    expelled: new Map([["liar", "it lied"]]),
    recall: (fingerprint, operation) => intake.recall(fingerprint, operation),
  });
  onTestFinished(() => dispatcher.close());
  const intake: ResultIntake = new ResultIntake({ dispatcher, store, observer: metrics, logger });
  const terms = { deviceClass: deviceClassName(TEST_CLASS, TEST_PROGRAM) };
  const asked: Promise<unknown>[] = [];
  for (const [k, workerId] of ["liar", "w1"].entries()) {
    const outcome = { kind: "tensors", tensors: rightAnswer(tile(k)) } as const;
    const envelope = {
      ...{ fingerprint: fingerprintOf(tile(k)), workerId, outcome },
      ...{ deviceClass: TEST_CLASS, programVersion: TEST_PROGRAM, forwards: 1, tokens: 1, seconds: 0 },
    };
    intake.receive(encodeResultEnvelope(envelope), { workerId, path: "nats" });
    asked.push(dispatcher.run("s", [tile(k)], undefined, { terms }).catch(() => "closed"));
  }
  await asked[1];
  expect([...dispatcher.state.operations.values()].map(({ fingerprint }) => fingerprint)).toEqual([
    fingerprintOf(tile(0)),
  ]);
  const arrived = await metrics.registry.getSingleMetricAsString("elibad_coordinator_results_total");
  expect(arrived).toMatch(/fate="expelled"[^}]*\} 1$/m);
});

test("an executor that was closed takes no operations: nobody would close what they begin", async () => {
  const { coordinator } = await cluster(0);
  const executor = coordinator.newExecutor();
  const run = executor.execute([tile(0)]);
  await executor.close();
  await expect(run).rejects.toThrow(CoordinatorClosedError);
  await expect(executor.execute([tile(1)])).rejects.toThrow(CoordinatorClosedError);
  expect(executor.view().waiting).toBe(0);
});
