import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { descendantsOf } from "../support/processes.ts";
import { STORE_KINDS, type StoreKind } from "../support/store-places.ts";
import { uniform } from "../support/uniform.ts";
import { noteCost } from "./cost.ts";
import { CLUSTER_TIMEOUT_MS, isLong, shortOrLong } from "./long-form.ts";
import { SweepScene } from "./sweep-scene.ts";

const WORKERS = 4;
const shape = shortOrLong(
  { jobs: 3, epochs: 4, everyMs: 2_500, forMs: 10_000 },
  { jobs: 24, epochs: 12, everyMs: 5_000, forMs: 120_000 },
);
const stores: readonly StoreKind[] = isLong ? STORE_KINDS : ["sqlite"];

type Role = "coordinator" | "worker" | "inference child";

test.for(stores)(
  `acceptance: a sweep whose processes are killed at random every ${shape.everyMs / 1_000} s gives every bit of a calm one, its log in %s`,
  { timeout: CLUSTER_TIMEOUT_MS },
  async (store, context) => {
    const { jobs, epochs, everyMs, forMs } = shape;
    const scene = await SweepScene.start({ store, jobs, epochs, workers: WORKERS, jobsInFlight: 8 });
    // Too slow to be over before the last kill, on a fast machine, too.
    const endSlowness = scene.agent.follow(() => ({ order: "go", times: 12 }));
    await scene.submit();
    const random = uniform(24);
    const draw = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
    const kills: Record<Role, number> = { coordinator: 0, worker: 0, "inference child": 0 };
    const begun = performance.now();
    while (performance.now() - begun < forMs) {
      await pause(everyMs);
      const victims: readonly (readonly [Role, string])[] = [
        ["coordinator", ""],
        ...[...scene.workers.keys()].flatMap(
          (id) =>
            [
              ["worker", id],
              ["inference child", id],
            ] as const,
        ),
      ];
      const [role, id] = draw(victims);
      kills[role]++;
      switch (role) {
        case "coordinator":
          await scene.killCoordinator();
          await scene.startCoordinator();
          break;
        case "worker":
          await scene.workers.get(id)!.kill();
          scene.startWorker(id);
          break;
        case "inference child":
          for (const pid of descendantsOf(scene.workers.get(id)!.pid).slice(0, 1))
            process.kill(pid, "SIGKILL");
      }
    }
    const killedFor = (performance.now() - begun) / 1_000;
    expect(scene.isOver).toBe(false);
    endSlowness();
    await scene.over();
    await scene.expectCalm();
    expect(kills.coordinator + kills.worker + kills["inference child"]).toBeGreaterThan(1);
    const counts = Object.entries(kills).map(([role, count]) => `${role} ${count}`);
    noteCost(context, `kills in ${killedFor.toFixed(0)} s: ${counts.join(", ")}`);
    await scene.end();
  },
);
