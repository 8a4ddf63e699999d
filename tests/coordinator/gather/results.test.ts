import { describe, expect, onTestFinished, test } from "vitest";
import { type CoordinatorOptions, startCoordinator } from "../../../coordinator/coordinator.ts";
import { digestOf } from "../../../proto/canonical-json.ts";
import { fingerprintOf } from "../../../proto/operation-codec.ts";
import type { TensorMap } from "../../../proto/operations.ts";
import { encodeTensors } from "../../../proto/tensors.ts";
import {
  diligent,
  eventually,
  rightAnswer,
  type ScriptedWorker,
  scriptedWorker,
  tile,
} from "../../support/scripted-worker.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { broker } from "./broker.ts";

/** How results travel in one run of the suite. */
interface Path {
  readonly name: "stream" | "nats";
  coordinatorOptions(): Partial<CoordinatorOptions>;
  publish(): ((subject: string, bytes: Uint8Array) => void) | undefined;
}

const server = broker();

const paths: readonly Path[] = [
  { name: "stream", coordinatorOptions: () => ({}), publish: () => undefined },
  {
    name: "nats",
    coordinatorOptions: () => ({ nats: { url: server.url } }),
    publish: () => (subject, bytes) => void server.publish(subject, bytes),
  },
];

const logits = (...values: number[]): TensorMap => ({
  logits: { shape: [values.length, 1], data: Float32Array.from(values) },
});

describe.each(paths)("results over the $name path", (path) => {
  async function cluster(...workers: (ConstructorParameters<typeof ScriptedWorker>[1] & { id: string })[]) {
    const coordinator = await startCoordinator({
      protection: "plain",
      artifactFolder: tempFolder(),
      drainMs: 100,
      ...path.coordinatorOptions(),
    });
    onTestFinished(() => coordinator.close());
    const fates = async (fate: string) =>
      Number(
        new RegExp(`results_total\\{path="${path.name}",fate="${fate}"\\} (\\d+)`).exec(
          await coordinator.metrics.registry.metrics(),
        )?.[1] ?? 0,
      );
    const dial = (options: ConstructorParameters<typeof ScriptedWorker>[1]) =>
      scriptedWorker(coordinator.address, { publish: path.publish(), ...options });
    const dialled = workers.map(dial);
    for (const worker of dialled) await eventually(() => worker.welcome);
    return { coordinator, executor: coordinator.executor, workers: dialled, dial, fates };
  }

  test("they reach who waits, and every one is accepted over gRPC", async () => {
    const { executor, workers } = await cluster(
      { id: "w1", credit: 4, answer: diligent },
      { id: "w2", credit: 4, answer: diligent },
    );
    const results = await executor.execute(Array.from({ length: 20 }, (_, i) => tile(i)));
    expect(results.map(({ tensors }) => tensors.logits?.data[1])).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 3),
    );
    // On a slow machine one may have moved, and come twice.
    await eventually(() => new Set(workers.flatMap(({ accepted }) => accepted)).size === 20);
  });

  test("duplicates and late ones are accepted, and used once", async () => {
    const { executor, workers, fates } = await cluster({ id: "w1", credit: 1 });
    const [worker] = workers as [ScriptedWorker];
    const running = executor.execute([tile(1)]);
    const { fingerprint } = await worker.lease();
    for (let sent = 0; sent < 3; sent++) worker.give(fingerprint, rightAnswer(tile(1)));
    await running;
    await eventually(() => worker.accepted.length === 3);
    expect(await fates("used")).toBe(1);
    expect(await fates("unneeded")).toBe(2);
    // Nobody has asked for this one yet.
    const elsewhere = "e".repeat(64);
    worker.give(elsewhere, logits(1));
    await eventually(() => worker.accepted.includes(elsewhere));
  });

  test.each([
    ["a wrong length", logits(1, 2, 3)],
    ["NaN", logits(1, Number.NaN)],
    ["another tensor", { gradient: logits(1, 2).logits! }],
  ])("one with %s is counted, accepted, and done again elsewhere", async (_what, bad) => {
    const { executor, workers, dial, fates } = await cluster({ id: "liar", credit: 1 });
    const [liar] = workers as [ScriptedWorker];
    const running = executor.execute([tile(1)]);
    const { fingerprint } = await liar.lease();
    const honest = dial({ id: "honest", credit: 1, answer: diligent });
    await eventually(() => honest.welcome);
    liar.give(fingerprint, bad);
    const [result] = await running;
    expect([...result!.tensors.logits!.data]).toEqual([2, 4]);
    await eventually(() => liar.accepted.includes(fingerprint));
    expect(await fates("invalid")).toBe(1);
    expect(honest.leases).toHaveLength(1);
  });

  test("those that came before a restarted coordinator asked for them again answer without computing, or are refused", async () => {
    const { coordinator, executor, workers, fates } = await cluster({ id: "w1", credit: 9 });
    const [worker] = workers as [ScriptedWorker];
    worker.give(fingerprintOf(tile(1)), rightAnswer(tile(1)));
    worker.give(fingerprintOf(tile(2)), logits(1, 2, 3));
    await eventually(() => worker.accepted.length === 2);
    expect(await fates("kept")).toBe(2);
    expect([...(await executor.execute([tile(1)]))[0]!.tensors.logits!.data]).toEqual([2, 4]);
    expect(worker.leases).toHaveLength(0);
    const running = executor.execute([tile(2)]);
    const lease = await worker.lease();
    worker.give(lease.fingerprint, rightAnswer(tile(2)));
    expect([...(await running)[0]!.tensors.logits!.data]).toEqual([3, 5]);
    const kept = await coordinator.metrics.registry.getSingleMetricAsString(
      "elibad_coordinator_kept_results_total",
    );
    expect(kept).toMatch(/outcome="reused"\} 1$/m);
    expect(kept).toMatch(/outcome="invalid"\} 1$/m);
  });

  test("an operation whose results are never valid fails with the reasons", async () => {
    const { executor } = await cluster({
      id: "w1",
      credit: 1,
      answer: (lease, worker) => {
        worker.give(lease.fingerprint, logits(1, Number.NaN));
        worker.credit(1);
      },
    });
    await expect(executor.execute([tile(1)])).rejects.toThrow(
      "it failed 3 times (on w1: invalid result: tensor 'logits' holds NaN at 1; on w1",
    );
  });

  test("unreadable bytes take the sender's leases back, and harm nobody else", async () => {
    const { executor, workers, dial, fates } = await cluster({ id: "broken", credit: 2 });
    const [broken] = workers as [ScriptedWorker];
    const running = executor.execute([tile(1), tile(2)]);
    await broken.lease(2);
    const good = dial({ id: "good", credit: 2, answer: diligent });
    await eventually(() => good.welcome);
    broken.giveBytes(Buffer.from("garbage"));
    expect((await running).map(({ tensors }) => tensors.logits?.data[0])).toEqual([2, 3]);
    expect(broken.cancelled).toHaveLength(2);
    expect(await fates("malformed")).toBe(1);
  });

  test("one that names another worker is counted as forged, harms nobody, and takes its sender's leases back", async () => {
    const { executor, workers, dial, fates } = await cluster({ id: "forger", credit: 1 });
    const [forger] = workers as [ScriptedWorker];
    const running = executor.execute([tile(1)]);
    const { fingerprint } = await forger.lease();
    const good = dial({ id: "good", credit: 1, answer: diligent });
    await eventually(() => good.welcome);
    const tensors = logits(7, 7);
    forger.giveBytes(forger.envelope(fingerprint, { kind: "tensors", tensors }, { workerId: "good" }));
    const [result] = await running;
    expect([...result!.tensors.logits!.data]).toEqual([2, 4]);
    expect(forger.cancelled).toHaveLength(1);
    expect(forger.accepted).toEqual([]);
    expect(await fates("forged")).toBe(1);
  });

  test("an operation that is asked for again is answered again", async () => {
    const { executor } = await cluster({ id: "w1", credit: 1, answer: diligent });
    await executor.execute([tile(1)]);
    expect(await executor.execute([tile(1)])).toHaveLength(1);
  });

  test("an error that the worker cannot avoid fails the operation with its message", async () => {
    const { executor, workers } = await cluster({ id: "w1", credit: 1 });
    const [worker] = workers as [ScriptedWorker];
    const running = executor.execute([tile(99)]);
    const { fingerprint } = await worker.lease();
    const message = "sample 99: the set has 30 rows";
    worker.giveBytes(worker.envelope(fingerprint, { kind: "error", retryable: false, message }));
    await expect(running).rejects.toThrow(/^operation score [0-9a-f]{12}: sample 99: the set has 30 rows$/);
  });

  test("a large one travels as an artifact, which is gone afterwards", async () => {
    const { coordinator, executor, workers } = await cluster({ id: "w1", credit: 1 });
    const [worker] = workers as [ScriptedWorker];
    const rows = Array.from({ length: 50_000 }, (_, i) => i);
    const running = executor.execute([
      { kind: "encode", checkpoint: "c".repeat(64), samples: "d".repeat(64), rows },
    ]);
    const { fingerprint } = await worker.lease();
    const data = Float32Array.from({ length: rows.length * 4 }, (_, i) => i);
    const bytes = encodeTensors({ features: { shape: [rows.length, 4], data } });
    const digest = digestOf(bytes);
    const upload = (sent: Uint8Array) =>
      new Promise<string | undefined>((resolve) => {
        const call = worker.client.putArtifact((error) => resolve(error?.message));
        call.write({ digest, data: sent.subarray(0, 300_000), placed: "" });
        call.write({ digest: "", data: sent.subarray(300_000), placed: "" });
        call.end();
      });
    expect(await upload(Uint8Array.from(bytes).fill(1, 5, 6))).toContain(
      `the bytes sent as ${digest} are those of`,
    );
    expect(await upload(bytes)).toBeUndefined();
    worker.giveBytes(worker.envelope(fingerprint, { kind: "artifact", digest }));
    const [result] = await running;
    expect(digestOf(encodeTensors(result!.tensors))).toBe(digest);
    await expect(coordinator.artifacts.uploads.read(digest)).rejects.toThrow("was not uploaded");
  });

  test("one that names an artifact that was never uploaded is done again", async () => {
    const { executor, workers, dial } = await cluster({ id: "w1", credit: 1 });
    const [worker] = workers as [ScriptedWorker];
    const running = executor.execute([tile(1)]);
    const { fingerprint } = await worker.lease();
    const good = dial({ id: "good", credit: 2, answer: diligent });
    await eventually(() => good.welcome);
    worker.giveBytes(worker.envelope(fingerprint, { kind: "artifact", digest: "f".repeat(64) }));
    await running;
    expect(good.leases).toHaveLength(1);
  });

  test("a result that arrives while its worker is away is used, and accepted when the worker comes back", async () => {
    const { executor, workers, dial } = await cluster({ id: "w1", credit: 2 });
    const [worker] = workers as [ScriptedWorker];
    // Its class is that of a result from here on: before, one of a class that is away would bind it to that.
    const first = executor.execute([tile(0)]);
    worker.give((await worker.lease()).fingerprint, rightAnswer(tile(0)));
    await first;
    const running = executor.execute([tile(1)]);
    const { fingerprint } = await worker.lease(2);
    if (path.name === "nats") {
      worker.die();
      worker.give(fingerprint, rightAnswer(tile(1)));
    } else {
      worker.give(fingerprint, rightAnswer(tile(1)));
      worker.stream.end();
    }
    await running;
    const back = dial({ id: "w1", credit: 1 });
    if (path.name === "nats") await eventually(() => back.accepted.includes(fingerprint));
    else await eventually(() => back.welcome);
  });
});
