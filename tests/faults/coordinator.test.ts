import { setTimeout as pause } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { startElibad } from "../support/command-line.ts";
import { metricSum } from "../support/metric-values.ts";
import { STORE_KINDS, type StoreKind } from "../support/store-places.ts";
import { costText, noteCost } from "./cost.ts";
import { CLUSTER_TIMEOUT_MS, isLong, shortOrLong } from "./long-form.ts";
import { SweepScene, type SweepSceneOptions } from "./sweep-scene.ts";

vi.setConfig({ testTimeout: CLUSTER_TIMEOUT_MS });

const small = { jobs: 2, workers: 2 } as const;

/** Results that a coordinator found waiting when it came back, and leases that ended otherwise than with a result. */
async function costAfter(scene: SweepScene, k = 0): Promise<string> {
  const values = await scene.metrics(k);
  const reused = metricSum(values, "coordinator_kept_results_total", { outcome: "reused" });
  const goesOn = scene.log.match(/goes on after committed step \d+/g) ?? [];
  return [costText(values), `results reused ${reused}`, ...new Set(goesOn)].join(", ");
}

/** A sweep of which one step is committed, and that stands in the middle of the next one. */
async function inSecondStep(kind: "gradient" | "rank" | "score", options: SweepSceneOptions) {
  const scene = await SweepScene.start(options);
  const held = scene.agent.hold((asked) => scene.committedSteps >= 1 && asked.kind === kind);
  await scene.submit();
  await held.first();
  expect(scene.committedSteps).toBeGreaterThanOrEqual(1);
  expect((await scene.jobs()).some(({ phase }) => phase === "scanning")).toBe(true);
  return { scene, held };
}

/** The short form of these is `sweep-processes.test.ts`. */
const points = (["gradient", "rank", "score"] as const).flatMap((kind) =>
  STORE_KINDS.map((store) => ({ kind, store })),
);

test.for(isLong ? points : [])(
  "4: kill -9 of the coordinator in a $kind operation, its log in $store: it goes on at the committed step, with the same trace",
  async ({ kind, store }, context) => {
    const { scene, held } = await inSecondStep(kind, { ...small, store });
    await scene.killCoordinator();
    held.release();
    await scene.startCoordinator();
    await scene.over();
    expect(scene.log).toMatch(/goes on after committed step [12]/);
    await scene.expectCalm();
    noteCost(context, await costAfter(scene));
    await scene.end();
  },
);

test.for(isLong ? STORE_KINDS : [])(
  "4: kill -9 of the coordinator at twenty moments of a sweep, its log in %s",
  async (store, context) => {
    const scene = await SweepScene.start({ ...small, store, epochs: 12 });
    await scene.submit();
    for (let kill = 0; kill < 20; kill++) {
      const from = scene.committedSteps;
      const deadline = Date.now() + 5_000;
      while (scene.committedSteps < from + 1 && Date.now() < deadline) await pause(5);
      // At, before or after the next commit.
      await pause((kill * 37) % 120);
      await scene.killCoordinator();
      await scene.startCoordinator();
    }
    await scene.over();
    await scene.expectCalm();
    noteCost(context, await costAfter(scene));
    await scene.end();
  },
);

if (isLong) {
  test("5: a second coordinator on the same file ends with 1 and names who has it", async (context) => {
    const { scene, held } = await inSecondStep("score", { ...small, store: "sqlite", standbys: 0 });
    const second = await startElibad([...scene.wordsFor(0), "--listen", "127.0.0.1:0"]).ended();
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`process ${scene.coordinator().process.pid} on `);
    held.release();
    await scene.over();
    await scene.expectCalm();
    noteCost(context, await costAfter(scene));
    await scene.end();
  });

  test("5: of two coordinators on one stream one leads; the other one names it, and leads when that is killed", async (context) => {
    const { scene, held } = await inSecondStep("score", { ...small, store: "jetstream", standbys: 1 });
    expect(scene.coordinator(1).stderr()).toContain(`leader=${scene.seats[0]!.address}`);
    const killedAt = performance.now();
    await scene.killCoordinator();
    held.release();
    const leads = () => scene.coordinator(1).stderr().includes("leading");
    await expect.poll(leads, { timeout: 30_000 }).toBe(true);
    const tookMs = performance.now() - killedAt;
    await scene.over();
    await scene.expectCalm();
    noteCost(context, `lead taken over after ${(tookMs / 1000).toFixed(1)} s, ${await costAfter(scene, 1)}`);
    await scene.end();
  });

  test("6: a coordinator that was paused past its lease is fenced, and stands by", async (context) => {
    const { scene, held } = await inSecondStep("score", { ...small, store: "jetstream", standbys: 1 });
    const { pid } = scene.coordinator().process;
    process.kill(pid!, "SIGSTOP");
    const leads = () => scene.coordinator(1).stderr().includes("leading");
    await expect.poll(leads, { timeout: 30_000 }).toBe(true);
    process.kill(pid!, "SIGCONT");
    held.release();
    const fenced = () => scene.coordinator().stderr().includes("another coordinator took the lead");
    await expect.poll(fenced, { timeout: 30_000 }).toBe(true);
    await scene.over();
    await scene.expectCalm();
    noteCost(context, await costAfter(scene, 1));
    await scene.end();
  });
}

test("20: a coordinator that is told to stop in a step ends with 0; the next one goes on with it", async (context) => {
  const { scene, held } = await inSecondStep("score", { ...small, store: "sqlite" });
  const { process: first, ended } = scene.coordinator();
  first.kill("SIGTERM");
  await pause(shortOrLong(100, 1_000));
  held.release();
  expect((await ended()).code).toBe(0);
  await scene.startCoordinator();
  await scene.over();
  await scene.expectCalm();
  noteCost(context, await costAfter(scene));
  await scene.end();
});

const stores: readonly StoreKind[] = isLong ? STORE_KINDS : ["jetstream"];

test.for(stores)(
  "21: everything is restarted, one after the other, under a sweep with its log in %s",
  async (store, context) => {
    const standbys = store === "jetstream" ? 1 : 0;
    const { scene, held } = await inSecondStep("score", { ...small, store, standbys });
    held.release();
    for (const id of [...scene.workers.keys()]) {
      scene.workers.get(id)!.process.kill("SIGTERM");
      expect(await scene.workers.get(id)!.exit()).toBe(0);
      scene.startWorker(id);
    }
    if (store === "jetstream") await scene.nats.restart();
    for (const k of scene.seats.keys()) {
      const { process: running, ended } = scene.coordinator(k);
      running.kill("SIGTERM");
      expect((await ended()).code).toBe(0);
      await scene.startCoordinator(k);
    }
    await scene.over();
    await scene.expectCalm();
    noteCost(context, "every process once");
    await scene.end();
  },
);
