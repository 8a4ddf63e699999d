import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import {
  type Coordinator,
  type CoordinatorOptions,
  startCoordinator,
} from "../../coordinator/coordinator.ts";
import { canonicalJson } from "../../proto/canonical-json.ts";
import type { ScoreOperation } from "../../proto/operations.ts";
import { Certificates } from "../../proto/tls/certificates.ts";
import { programVersion } from "../../worker/program-version.ts";
import { counted } from "../support/cluster.ts";
import { metricSum, readMetrics } from "../support/metric-values.ts";
import { type SecuredNats, startSecuredNats } from "../support/secured-nats.ts";
import { freeAddress } from "../support/sweep-processes.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { eventually, startTestWorker } from "../support/worker-scenes.ts";

interface Cluster {
  readonly nats: SecuredNats;
  readonly address: string;
  coordinator(options: { readonly credentialMs: number }): Promise<Coordinator>;
  worker(name: string, delayMs?: number): ReturnType<typeof startTestWorker>;
}

/** A place for a coordinator and workers that know each other by certificates, and give results through a server that permits each its own. */
async function secured(): Promise<Cluster> {
  const nats = await startSecuredNats();
  const address = await freeAddress();
  const paths = (name: string) => ({
    cert: join(nats.certs, `${name}.crt`),
    key: join(nats.certs, `${name}.key`),
    ca: join(nats.certs, "ca.crt"),
  });
  return {
    nats,
    address,
    async coordinator({ credentialMs }) {
      const protection = new Certificates(paths("coordinator"));
      const options: CoordinatorOptions = {
        ...{ listen: address, protection, coordinatorId: "lab", nats: { ...nats.coordinator, credentialMs } },
        artifactFolder: join(tempFolder(), "artifacts"),
        programVersion: programVersion(),
        dispatch: { speculateFactor: 0, moveAfterMs: 600_000 },
      };
      const coordinator = await startCoordinator(options);
      onTestFinished(async () => {
        await coordinator.close();
        protection.close();
      });
      return coordinator;
    },
    worker: (id, delayMs = 0) =>
      startTestWorker(address, {
        ...{ id, protection: paths("worker"), metricsPort: 0, resendMs: 1_000 },
        engineOptions: { delayMs },
      }),
  };
}

async function operations({ executor }: Coordinator): Promise<(sample: number) => ScoreOperation> {
  const config = Buffer.from("{}");
  const files = [{ name: "config.json", digest: await executor.putArtifact(config), bytes: config.length }];
  const manifest = canonicalJson({ task: "defect_detection", files });
  const checkpoint = await executor.putArtifact(Buffer.from(manifest));
  const samples = await executor.putArtifact(Buffer.from("samples"));
  return (sample) => ({ kind: "score", checkpoint, samples, sample, triggers: [[1]] });
}

/** Asks for samples until some results came through NATS; answers the last one. */
async function untilNatsIsUsed(
  coordinator: Coordinator,
  score: (sample: number) => ScoreOperation,
  from: number,
): Promise<number> {
  const used = () => counted(coordinator, "results_total", { path: "nats", fate: "used" });
  const before = await used();
  for (let sample = from; ; sample++) {
    const [result] = await coordinator.executor.execute([score(sample)]);
    expect(result!.tensors.logits!.data[0]).toBe(sample);
    if ((await used()) > before) return sample;
    await pause(20);
  }
}

test("workers of one name get ids of their own, and what they give through NATS while credentials are renewed and the server is started again is all there, once", async () => {
  const cluster = await secured();
  const coordinator = await cluster.coordinator({ credentialMs: 2_000 });
  const workers = [await cluster.worker("w", 5), await cluster.worker("w", 5)];
  await eventually(() => coordinator.workers().length === 2, "two workers");
  const ids = coordinator.workers().map(({ workerId }) => workerId);
  for (const id of ids) expect(id).toMatch(/^w-[0-9a-f]{20}$/);
  expect(new Set(ids).size).toBe(2);

  const score = await operations(coordinator);
  let last = await untilNatsIsUsed(coordinator, score, 0);
  const reconnects = async () =>
    Promise.all(
      workers.map(async ({ metricsAddress }) =>
        metricSum(await readMetrics(metricsAddress!), "worker_nats_reconnects_total"),
      ),
    );
  for (let round = 0; Math.min(...(await reconnects())) < 2; round++) {
    const asked = Array.from({ length: 40 }, (_, k) => last + 1 + k);
    const results = await coordinator.executor.execute(asked.map(score));
    expect(results.map(({ tensors }) => tensors.logits!.data[0])).toEqual(asked);
    last = asked.at(-1)!;
    if (round === 1) await cluster.nats.restart();
  }
  await untilNatsIsUsed(coordinator, score, last + 1);
  expect(await counted(coordinator, "leases_ended_total", { reason: "result" })).toBe(
    await counted(coordinator, "leases_granted_total"),
  );
  for (const fate of ["forged", "malformed", "invalid"])
    expect(await counted(coordinator, "results_total", { fate })).toBe(0);
  // What expired while the server was away is no surprise; what is not permitted would be one.
  for (const { metricsAddress } of workers) {
    const values = await readMetrics(metricsAddress!);
    expect(metricSum(values, "worker_nats_refusals_total", { reason: "permission" })).toBe(0);
  }
});

test("a worker whose credential expired while its coordinator was away keeps its results, and gives them and others when it has a new one", async () => {
  const cluster = await secured();
  const first = await cluster.coordinator({ credentialMs: 2_000 });
  const worker = await cluster.worker("w", 300);
  const score = await operations(first);
  const [asked, next] = [1_000_000, 2_000_000];
  await untilNatsIsUsed(first, score, 0);
  const lost = first.executor.execute([score(asked)]).catch((error: Error) => error.name);
  await eventually(() => first.workers()[0]!.leases === 1, "a lease");
  // The next leader is not there yet.
  await first.close("");
  expect(await lost).toBe("CoordinatorClosedError");
  const refused = async () =>
    metricSum(await readMetrics(worker.metricsAddress!), "worker_nats_refusals_total");
  await expect.poll(refused, { timeout: 30_000, interval: 100 }).toBeGreaterThan(0);

  const second = await cluster.coordinator({ credentialMs: 60_000 });
  const again = await operations(second);
  const [result] = await second.executor.execute([again(asked)]);
  expect(result!.tensors.logits!.data[0]).toBe(asked);
  await untilNatsIsUsed(second, again, next);
});
