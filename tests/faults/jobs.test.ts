import { cpSync, existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { createLocalExecutor } from "../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { elibadHere, startElibad } from "../support/command-line.ts";
import { demoData, randomModel } from "../support/random-model.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { uniform } from "../support/uniform.ts";
import { eventually } from "../support/worker-scenes.ts";
import { costText, noteCost } from "./cost.ts";
import { CLUSTER_TIMEOUT_MS, shortOrLong } from "./long-form.ts";
import { SweepScene } from "./sweep-scene.ts";

vi.setConfig({ testTimeout: CLUSTER_TIMEOUT_MS });

test("17: an operation that kills every child that computes it fails its job, with the reason; the other jobs are done", async (context) => {
  const scene = await SweepScene.start({ store: "sqlite", jobs: 3, workers: 2 });
  const local = await createLocalExecutor({ folder: tempFolder(), threads: 1 });
  const deadly = await putCheckpoint(local, scene.sweep.modelOf("m2"), "defect_detection");
  await local.close();
  let deaths = 0;
  scene.agent.follow(({ checkpoint, kind }) => {
    if (checkpoint !== deadly || kind !== "score") return undefined;
    deaths++;
    return { order: "die" };
  });
  await scene.submit();
  await scene.over();
  expect(await scene.jobs()).toMatchObject([
    { name: "m1", phase: "done" },
    { name: "m2", phase: "failed", reason: /the inference process died 3 times while it ran/ },
    { name: "m3", phase: "done" },
  ]);
  await scene.expectCalm({ except: ["m2"] });
  expect(deaths).toBeGreaterThanOrEqual(3);
  noteCost(context, costText(await scene.metrics()));
  await scene.end();
});

test("18: a thousand queued jobs are submitted, listed and held in little time and memory", async (context) => {
  const model = await randomModel();
  const folder = tempFolder();
  const file = join(folder, "sweep.yaml");
  const models = Array.from({ length: 1_000 }, (_, k) => `  - m${k + 1}: ${model}\n`);
  writeFileSync(
    file,
    `name: thousand\ntask: defect_detection\nsamples: ${join(demoData, "clean_samples.jsonl")}\nmodels:\n${models.join("")}`,
  );
  const scene = await SweepScene.start({ store: "sqlite", jobs: 1, workers: 0 });
  const timed = async (...words: string[]) => {
    const begun = performance.now();
    const run = await elibadHere("sweep", ...words, "--coordinator", scene.addresses, "--insecure");
    expect([run.stderr, run.code]).toEqual(["", 0]);
    return { seconds: (performance.now() - begun) / 1_000, stdout: run.stdout };
  };
  const submitted = await timed("submit", file);
  const listed = await timed("list", "thousand", "--json");
  expect(JSON.parse(listed.stdout)).toHaveLength(1_000);
  const megabytes = residentMegabytes(scene.coordinator().process.pid!);
  expect(megabytes).toBeLessThan(300);
  // A busy machine is given three times as long.
  expect(submitted.seconds).toBeLessThan(shortOrLong(30, 10));
  expect(listed.seconds).toBeLessThan(shortOrLong(3, 1));
  noteCost(
    context,
    `submit ${submitted.seconds.toFixed(1)} s, list ${listed.seconds.toFixed(2)} s, ${megabytes} MB`,
  );
  await scene.end();
});

test("23: a checkpoint that was cut, or in which a bit flipped, fails its job and names the file", async (context) => {
  const scene = await SweepScene.start({ store: "sqlite", jobs: 3, workers: 1 });
  const [cut, flipped] = ["m1", "m3"].map((job) => join(scene.sweep.modelOf(job), "model.bin")) as [
    string,
    string,
  ];
  const bytes = readFileSync(flipped);
  const whole = readFileSync(cut);
  bytes[bytes.length >> 1]! ^= 0x10;
  truncateSync(cut, whole.length - 1_000);
  writeFileSync(flipped, bytes);
  await scene.submit();
  await scene.over();
  expect(await scene.jobs()).toMatchObject([
    { name: "m1", phase: "failed", reason: expect.stringContaining("model.bin") },
    { name: "m2", phase: "done" },
    { name: "m3", phase: "failed", reason: expect.stringContaining("model.bin") },
  ]);
  await scene.expectCalm({ except: ["m1", "m3"] });
  noteCost(context, "2 of 3 jobs failed");
  await scene.end();
  // Other tests of this file have the same sweep.
  writeFileSync(cut, whole);
  bytes[bytes.length >> 1]! ^= 0x10;
  writeFileSync(flipped, bytes);
});

test("23: a store in which a bit flipped goes on with the same results, or ends the coordinator with its name", async (context) => {
  const scene = await SweepScene.start({ store: "sqlite", jobs: 3, workers: 1 });
  const held = scene.agent.hold(({ kind }) => scene.committedSteps >= 4 && kind === "score");
  await scene.submit();
  await held.first();
  await scene.killCoordinator();
  held.release();
  const random = uniform(23);
  const counts = { leads: 0, refused: 0 };
  for (let flip = 0; flip < shortOrLong(3, 20); flip++) {
    const folder = tempFolder();
    cpSync(join(scene.folder, "state"), join(folder, "state"), { recursive: true });
    const file = join(folder, "state", random() < 0.5 ? "state.db" : "state.db-wal");
    if (!existsSync(file)) continue;
    const bytes = readFileSync(file);
    bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8);
    writeFileSync(file, bytes);
    const run = startElibad([
      "coordinator",
      "--listen",
      "127.0.0.1:0",
      "--insecure",
      "--state",
      join(folder, "state"),
    ]);
    const leads = () => run.stderr().includes("leading");
    await eventually(() => leads() || run.process.exitCode !== null, "a coordinator or its end", 60_000);
    if (leads()) {
      counts.leads++;
      run.process.kill("SIGTERM");
      await run.ended();
    } else {
      counts.refused++;
      expect((await run.ended()).code).toBe(1);
      expect(run.stderr()).toContain("state.db");
    }
  }
  // What is whole goes on.
  await scene.startCoordinator();
  await scene.over();
  await scene.expectCalm();
  noteCost(context, `${counts.leads} went on, ${counts.refused} named the file`);
  await scene.end();
});

function residentMegabytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024);
}
