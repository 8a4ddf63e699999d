import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type ServiceError, status } from "@grpc/grpc-js";
import { expect, onTestFinished, test } from "vitest";
import { EXIT } from "../../coordinator/cli/errors.ts";
import { eachOf } from "../../coordinator/cli/sweep-client.ts";
import { connectToCoordinator } from "../../proto/client.ts";
import { LEADER_KEY } from "../../proto/leader.ts";
import { elibadHere, startElibad } from "../support/command-line.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { startWorkerProcesses } from "../support/processes.ts";
import {
  type CoordinatorProcess,
  freeAddress,
  startCoordinatorProcess,
  writeSmallSweep,
} from "../support/sweep-processes.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { eventually } from "../support/worker-scenes.ts";

const EPOCHS = 20;

const json = async (...words: readonly string[]): Promise<unknown> => {
  const { code, stdout, stderr } = await elibadHere(...words, "--json");
  expect([code, stderr]).toEqual([EXIT.done, ""]);
  return JSON.parse(stdout);
};

/** Kills a coordinator while a job is between two steps that are committed. */
async function killInTheMiddle(coordinator: CoordinatorProcess): Promise<void> {
  await coordinator.said(/a step was committed \(.*job=first.*step=3,/, 300_000);
  await coordinator.kill();
  expect(coordinator.stderr()).not.toMatch(new RegExp(`step=${EPOCHS},`));
}

/** What was done in spite of a kill is what was done without one: both models have the same weights. */
function expectSameTraces(state: string): void {
  const [killed, calm] = ["first", "second"].map((job) =>
    readFileSync(join(state, "results", "friday", job, "trace.jsonl"), "utf8"),
  );
  expect(calm!.trim().split("\n")).toHaveLength(1 + EPOCHS);
  expect(killed).toBe(calm);
}

test("a coordinator that is killed in a step goes on with the sweep at the committed step, with the same trace; nobody else can have its store meanwhile", async () => {
  const state = join(tempFolder(), "state");
  const address = await freeAddress();
  const file = await writeSmallSweep({ models: ["first", "second"], epochs: EPOCHS });
  const coordinator = startCoordinatorProcess(address, ["--state", state]);
  await coordinator.said(/leading/);
  const at = ["--coordinator", address, "--insecure"];
  expect(await json("sweep", "submit", file, ...at)).toMatchObject({ isNew: true, sweep: { jobs: 2 } });
  expect(await json("sweep", "submit", file, ...at)).toMatchObject({ isNew: false });

  const second = await startCoordinatorProcess(await freeAddress(), ["--state", state]).ended();
  expect(second.code).toBe(EXIT.failed);
  expect(second.stderr).toMatch(
    new RegExp(`^elibad coordinator: \\S+state.db: process ${coordinator.process.pid} on `, "m"),
  );

  startWorkerProcesses(2, {
    protection: "plain",
    coordinators: [address],
    threads: 1,
    cacheFolder: tempFolder(),
  });
  await killInTheMiddle(coordinator);
  const again = startCoordinatorProcess(address, ["--state", state]);
  const [, step] = await again.said(/search 0 goes on after committed step (\d+) \(sweep=friday, job=first/);
  expect(Number(step)).toBeGreaterThanOrEqual(3);
  expect(Number(step)).toBeLessThan(EPOCHS);

  const watched = await elibadHere("sweep", "watch", "friday", ...at);
  expect(watched.code).toBe(EXIT.done);
  expect(watched.stderr).toContain("friday: 2 of 2 done");
  expectSameTraces(state);
  expect(await json("sweep", "results", "friday", ...at)).toMatchObject({
    jobs: ["first", "second"].map((name) => ({
      name,
      state: "done",
      report: { searches: [{ steps: EPOCHS }] },
    })),
  });
  again.process.kill("SIGTERM");
  expect((await again.ended()).code).toBe(EXIT.done);
}, 600_000);

/** Asks a standby again and again, until it answers as a leader; gives the leaders that it named before. */
async function firstAnswerAsLeader(address: string, withinMs: number): Promise<ReadonlySet<string>> {
  const client = connectToCoordinator(address, "plain");
  onTestFinished(() => client.close());
  const named = new Set<string>();
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      await eachOf(client.listSweeps({}), new AbortController().signal, () => {});
      return named;
    } catch (error) {
      const { code, metadata } = error as ServiceError;
      if (code !== status.UNAVAILABLE || performance.now() > deadline) throw error;
      for (const leader of metadata.get(LEADER_KEY)) named.add(String(leader));
    }
    await pause(50);
  }
}

test("a standby names the leader, takes over within ten seconds of its kill, and the sweep goes on at the committed step with the same trace", async () => {
  const nats = await startNatsServer();
  const state = join(tempFolder(), "state");
  const addresses = [await freeAddress(), await freeAddress()];
  const words = ["--state", state, "--nats", nats.url];
  const begunMs = performance.now();
  const leader = startCoordinatorProcess(addresses[0]!, words);
  await leader.said(/leading/);
  // What it takes here to begin to lead: a second where nothing else runs.
  const startMs = performance.now() - begunMs;
  const standby = startCoordinatorProcess(addresses[1]!, words);
  await standby.said(new RegExp(`another coordinator leads \\(leader=${addresses[0]}\\)`));
  // Both the worker and the user are told by the standby who leads.
  startWorkerProcesses(1, {
    protection: "plain",
    coordinators: [addresses[1]!, addresses[0]!],
    threads: 1,
    cacheFolder: tempFolder(),
  });
  const at = ["--coordinator", addresses[1]!, "--insecure"];
  const file = await writeSmallSweep({ models: ["first", "second"], epochs: EPOCHS });
  expect(await json("sweep", "submit", file, ...at)).toMatchObject({ isNew: true });

  const watcher = startElibad([
    "sweep",
    "watch",
    "friday",
    "--coordinator",
    addresses.join(","),
    "--insecure",
  ]);
  await eventually(() => watcher.stderr().includes("friday/first scanning"), "a watch", 60_000);
  await killInTheMiddle(leader);
  const killedMs = performance.now();
  const named = await firstAnswerAsLeader(addresses[1]!, 120_000);
  const tookMs = performance.now() - killedMs;
  expect([...named]).toEqual([addresses[0]]);
  const [, silentSeconds] = await standby.said(/did not renew its lease for ([\d.]+) s: .* takes over/);
  expect(Number(silentSeconds)).toBeGreaterThanOrEqual(7);
  expect(Number(silentSeconds)).toBeLessThanOrEqual(10);
  expect(tookMs).toBeLessThanOrEqual(10_000 + startMs);
  await standby.said(/leading \(term=2/);
  expect(standby.stderr()).toMatch(/search 0 goes on after committed step \d+ \(sweep=friday, job=first/);
  expect((await elibadHere("sweep", "watch", "friday", ...at)).code).toBe(EXIT.done);
  expectSameTraces(state);
  // One that was open all the time went over to the new leader by itself.
  const watched = await watcher.ended();
  expect([watched.code, watched.stderr]).toEqual([EXIT.done, expect.stringContaining("2 of 2 done")]);
  standby.process.kill("SIGTERM");
  expect((await standby.ended()).code).toBe(EXIT.done);
}, 600_000);

test("a leader that is paused past its lease finds another one leading, stops at once and stands by; what it had begun to write spoils nothing", async () => {
  const nats = await startNatsServer();
  const state = join(tempFolder(), "state");
  const addresses = [await freeAddress(), await freeAddress()] as const;
  const words = ["--state", state, "--nats", nats.url];
  const paused = startCoordinatorProcess(addresses[0], words);
  await paused.said(/leading/);
  const next = startCoordinatorProcess(addresses[1], words);
  await next.said(/another coordinator leads/);
  startWorkerProcesses(1, {
    protection: "plain",
    coordinators: [...addresses],
    threads: 1,
    cacheFolder: tempFolder(),
  });
  const file = await writeSmallSweep({ models: ["first", "second"], epochs: EPOCHS });
  await json("sweep", "submit", file, "--coordinator", addresses[0], "--insecure");
  await paused.said(/a step was committed \(.*job=first.*step=3,/);
  paused.process.kill("SIGSTOP");
  onTestFinished(() => void paused.process.kill("SIGCONT"));
  await next.said(/leading \(term=2/);
  await next.said(/a step was committed \(.*job=first/);

  paused.process.kill("SIGCONT");
  await paused.said(/another coordinator took the lead \(term=1\)[\s\S]*standing by/);
  // It tells users who leads, and is ready to take over itself.
  const at = ["--coordinator", addresses[0], "--insecure"];
  expect((await elibadHere("sweep", "watch", "friday", ...at)).code).toBe(EXIT.done);
  expectSameTraces(state);
  expect(readdirSync(join(state, "results", "friday")).sort()).toEqual(["first", "second"]);
  next.process.kill("SIGTERM");
  expect((await next.ended()).code).toBe(EXIT.done);
  await paused.said(/leading \(term=3/);
}, 600_000);
