import { expect, test } from "vitest";
import { OperationGivenUpError } from "../../coordinator/dispatch/errors.ts";
import { DIES, eventually, HANGS } from "../support/worker-scenes.ts";
import { zeroComputeCluster } from "../support/zero-compute-cluster.ts";

test("an operation that kills every child fails its own job, with the reason; the other jobs finish on the same workers", async () => {
  const { coordinator, score, start } = await zeroComputeCluster();
  await start("w1", { delayMs: 20 });
  await start("w2", { delayMs: 20 });
  const [bad, good] = [coordinator.newExecutor(), coordinator.newExecutor()];
  const samples = Array.from({ length: 60 }, (_, k) => k);
  const failing = bad.execute([score(100), score(DIES), score(101)]).catch((error: unknown) => error);
  const finishing = good.execute(samples.map((sample) => score(sample)));
  const error = await failing;
  expect(error).toBeInstanceOf(OperationGivenUpError);
  expect((error as Error).message).toMatch(
    /the inference process died 3 times while it ran \(on w\d: killed by SIGKILL; on w\d: killed by SIGKILL; on w\d: killed by SIGKILL\)$/,
  );
  const results = await finishing;
  expect(results.map(({ tensors }) => tensors.logits!.data[0])).toEqual(samples);
  // Both workers serve on, also the operation that stood behind the bad one.
  expect(coordinator.workers()).toHaveLength(2);
  const [later] = await coordinator.newExecutor().execute([score(101)]);
  expect(later!.tensors.logits!.data[0]).toBe(101);
});

test("five workers that are killed in a row, and a cancellation, fail nothing; what they computed is alone on the last ones", async () => {
  const { coordinator, score, start, leasesOf } = await zeroComputeCluster();
  const stop = new AbortController();
  const running = coordinator
    .newExecutor()
    .execute([score(HANGS)], stop.signal)
    .catch(() => "stopped");
  const queued = coordinator.newExecutor().execute([score(1)]);
  for (const [k, id] of ["w1", "w2", "w3", "w4", "w5"].entries()) {
    const worker = await start(id);
    await eventually(() => leasesOf(id) === (k < 3 ? 2 : 1), `leases of ${id}`);
    await worker.kill();
    await eventually(() => leasesOf(id) === undefined, `the loss of ${id}`);
  }
  await start("w6");
  await eventually(() => leasesOf("w6") === 1, "leases of the last one");
  // Its child is killed for it.
  stop.abort();
  expect(await running).toBe("stopped");
  expect((await queued)[0]!.tensors.logits!.data[0]).toBe(1);
});
