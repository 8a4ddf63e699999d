import { expect, onTestFinished, test } from "vitest";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { DistrustedResultsError } from "../../../coordinator/dispatch/errors.ts";
import type { LeaseMessage } from "../../../proto/messages.ts";
import { operationFromMessage } from "../../../proto/operation-codec.ts";
import { counted } from "../../support/cluster.ts";
import {
  diligent,
  eventually,
  rightAnswer,
  type ScriptedWorker,
  scriptedWorker,
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
