import { copyFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";
import type { CertificatePaths } from "../../proto/tls/certificates.ts";
import { testAuthority } from "../support/certificates.ts";
import { metricSum, readMetrics } from "../support/metric-values.ts";
import { startWorkerProcess, type WorkerProcess } from "../support/processes.ts";
import type { TcpProxy } from "../support/tcp-proxy.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { eventually } from "../support/worker-scenes.ts";
import { noteCost } from "./cost.ts";
import { shortOrLong } from "./long-form.ts";
import { ScanScene } from "./scan-scene.ts";

const scene = ScanScene.forFile({ workers: 1, tls: true });

/** To the worker w2. */
let proxy: TcpProxy;
/** What it took to start that. */
let startMs: number;

beforeAll(async () => {
  const begunMs = performance.now();
  proxy = await scene.startWorkerBehindProxy("w2");
  await scene.connected("w1", "w2");
  startMs = performance.now() - begunMs;
});

const says = (worker: WorkerProcess, pattern: RegExp) =>
  eventually(() => pattern.test(worker.log()), `a worker that says ${pattern}: ${worker.log()}`, 60_000);

/** How often connections were refused for a reason. */
const refused = async (reason: string): Promise<number> =>
  metricSum(await readMetrics(scene.coordinator.metricsAddress!), "refused_calls_total", { reason });

/** Does something to the certificates, and waits until everybody has read them again. */
async function everybodyReads(
  workers: readonly WorkerProcess[],
  change: () => Promise<void> | void,
): Promise<void> {
  const timesOf = (worker: WorkerProcess) => worker.log().split("certificates were read again").length;
  const before = workers.map(timesOf);
  await change();
  const read = () => workers.every((worker, k) => timesOf(worker) > before[k]!);
  await eventually(read, "workers that read their certificates again", 60_000);
  // The coordinator of this process looks five times a second.
  await pause(600);
}

/** Cuts a worker's connection, and waits until it is back over a new one. */
async function reconnects(worker: WorkerProcess): Promise<void> {
  const timesOf = () => worker.log().split("serving the coordinator").length;
  const before = timesOf();
  proxy.cut();
  await eventually(() => timesOf() > before, `a worker that is back: ${worker.log()}`, 60_000);
}

test("24: certificates that are rotated in a step, the CA too, while connections break and a stranger knocks, cost no step", async (context) => {
  const { authority } = scene;
  const workers = [scene.worker("w1"), scene.worker("w2")];
  const cost = await scene.scanWith(async (scan) => {
    const held = scene.holdInSecondStep(scan, "score");
    await held.first();
    const unknown = await refused("unknown_ca");
    const stranger = startStranger((await testAuthority()).paths("worker"));
    await says(stranger, /waiting for a coordinator .*does not take the certificate/);
    expect(await refused("unknown_ca")).toBeGreaterThan(unknown);

    await everybodyReads(workers, () => authority.renew("ca"));
    await reconnects(workers[1]!);
    await everybodyReads(workers, () => authority.renew("worker"));
    await authority.renew("coordinator");
    await pause(600);
    await reconnects(workers[1]!);
    await everybodyReads(workers, () => authority.forgetOldAuthority());
    await reconnects(workers[1]!);
    await stranger.kill();
    held.release();
  });
  noteCost(context, cost);
});

test("24: a worker whose certificate expires keeps its stream; cut off, it is refused until the certificate is renewed, and the step ends", async (context) => {
  const { authority } = scene;
  // Longer than a worker takes to start, so that it is connected before.
  const validMs = 2 * startMs + shortOrLong(3_000, 30_000);
  const expiresMs = performance.now() + validMs;
  const own = await authority.issued(
    "w3",
    { role: "worker" },
    { fromMs: Date.now() - 60_000, untilMs: Date.now() + validMs },
  );
  const path = await scene.startWorkerBehindProxy("w3", { protection: own });
  await scene.connected("w1", "w2", "w3");
  const cost = await scene.scanWith(async (scan) => {
    const held = scene.holdInSecondStep(scan, "score");
    await held.first();
    await pause(expiresMs - performance.now() + 1_500);
    await scene.connected("w1", "w2", "w3");
    const before = await refused("expired");
    path.cut();
    await says(scene.worker("w3"), /waiting for a coordinator .*does not take the certificate/);
    expect(await refused("expired")).toBeGreaterThan(before);
    await scene.connected("w1", "w2");
    const { cert, key } = authority.paths("worker");
    copyFileSync(cert, own.cert);
    copyFileSync(key, own.key);
    await scene.connected("w1", "w2", "w3");
    held.release();
  });
  noteCost(context, cost);
});

/** A worker whose certificate comes from elsewhere, though it believes the coordinator's. */
function startStranger({ cert, key }: CertificatePaths): WorkerProcess {
  return startWorkerProcess({
    protection: { cert, key, ca: scene.authority.paths("worker").ca },
    coordinators: [scene.coordinator.address],
    id: "stranger",
    threads: 1,
    cacheFolder: tempFolder(),
  });
}
