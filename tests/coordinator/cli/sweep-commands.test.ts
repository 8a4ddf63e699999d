import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { EXIT } from "../../../coordinator/cli/errors.ts";
import { openSqliteLog } from "../../../coordinator/store/sqlite-log.ts";
import { SweepBook } from "../../../coordinator/sweep/book.ts";
import { elibadHere } from "../../support/command-line.ts";
import { demoData, writeRandomModel } from "../../support/random-model.ts";
import { embeddedPlace, startSweepHost } from "../../support/sweep-host.ts";
import { freeAddress } from "../../support/sweep-processes.ts";
import { events, sweepOf } from "../../support/sweeps.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** A sweep of one model under so many names; its samples are broken, so that its jobs fail as soon as they begin. */
async function sweepFile(models: number, more = ""): Promise<string> {
  const folder = tempFolder();
  const model = await writeRandomModel(join(folder, "model"));
  const names = Array.from({ length: models }, (_, k) => `  - m${k}: ${model}`).join("\n");
  writeFileSync(
    join(folder, "sweep.yaml"),
    `name: friday\nmodels:\n${names}\nsamples: ${join(folder, "samples.jsonl")}\nsettings: { code_max_len: 64 }\n${more}`,
  );
  writeFileSync(join(folder, "samples.jsonl"), "no JSON\n");
  return join(folder, "sweep.yaml");
}

test("a sweep is submitted once however often, its broken jobs fail alone with the reason, and are retried and cancelled", async () => {
  const { address } = await startSweepHost();
  const sweep = (...words: string[]) => elibadHere("sweep", ...words, "--coordinator", address, "--insecure");
  const file = await sweepFile(2);
  expect(await sweep("list")).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("There is no sweep"),
  });
  expect(await sweep("submit", file)).toMatchObject({
    code: 0,
    stdout: "sweep 'friday' is submitted: 2 jobs\n",
  });
  expect((await sweep("submit", file)).stdout).toBe("sweep 'friday' was there already: nothing changed\n");

  const watched = await sweep("watch", "friday");
  expect(watched.code).toBe(EXIT.failed);
  expect(watched.stderr).toMatch(/^friday\/m0 failed: \S+samples.jsonl:1: is not JSON/m);
  expect(watched.stderr).toContain("elibad sweep watch: friday: 2 failed of 2 jobs");
  const { stdout } = await sweep("list", "friday");
  expect(stdout.split("\n")[1]).toMatch(/^m0 +failed: \S+samples.jsonl/);

  expect((await sweep("retry", "friday", "m1")).stdout).toBe("1 job queued again.\n");
  await sweep("watch", "friday");
  const jobs = JSON.parse((await sweep("list", "friday", "--json")).stdout);
  expect(jobs).toMatchObject([
    { name: "m0", phase: "failed", attempt: 1 },
    { name: "m1", phase: "failed", attempt: 2 },
  ]);
  expect((await sweep("cancel", "friday")).stdout).toBe("No job was left to cancel.\n");
  expect(JSON.parse((await sweep("list", "--json")).stdout)).toMatchObject([
    { name: "friday", jobs: 2, phases: { failed: 2 } },
  ]);
  const csv = (await sweep("results", "friday", "--format", "csv")).stdout.trim().split("\n");
  expect(csv.map((line) => line.split(",").slice(0, 4))).toEqual([
    ["sweep", "job", "model", "state"],
    ...["m0", "m1"].map((job) => ["friday", job, expect.stringMatching(/model$/), "failed"]),
  ]);

  expect(await sweep("remove", "friday")).toMatchObject({ code: 0, stdout: "Removed, with 2 jobs.\n" });
  expect((await sweep("list")).stdout).toContain("There is no sweep");
  expect(await sweep("remove", "friday")).toMatchObject({
    code: EXIT.wrongInput,
    stderr: expect.stringContaining("there is no sweep 'friday'"),
  });
  expect((await sweep("submit", file)).stdout).toBe("sweep 'friday' is submitted: 2 jobs\n");
});

test("what is wrong ends with 2, and one line says what: the file's line and key, the name, the option that a coordinator lacks", async () => {
  const { address } = await startSweepHost();
  const sweep = async (...words: string[]) => {
    const { code, stderr } = await elibadHere("sweep", ...words, "--coordinator", address, "--insecure");
    expect(code, stderr).toBe(EXIT.wrongInput);
    return stderr;
  };
  expect(await sweep("submit", await sweepFile(1, "setings: {}\n"))).toBe(
    "elibad sweep submit: sweep.yaml line 6: unknown key 'setings' (did you mean 'settings'?)\n",
  );
  expect(await sweep("submit", "nowhere.yaml")).toBe("elibad sweep submit: nowhere.yaml: no such file\n");
  expect(await sweep("submit", await sweepFile(1, `# ${"x".repeat(4e6)}\n`))).toMatch(
    /sweep.yaml: has 4.0 MB, and a sweep at most 3.7 MB: split it$/m,
  );
  await elibadHere("sweep", "submit", await sweepFile(1), "--coordinator", address, "--insecure");
  expect(await sweep("submit", await sweepFile(2))).toContain("there is another sweep 'friday'");
  expect(await sweep("watch", "monday")).toBe("elibad sweep watch: there is no sweep 'monday'\n");
  expect(await sweep("cancel", "friday", "m7")).toBe("elibad sweep cancel: sweep 'friday' has no job 'm7'\n");
  expect(await sweep("explain", "friday/m7")).toContain("sweep 'friday' has no job 'm7'");
  expect(await sweep("explain", "friday")).toContain("must be a sweep and one of its jobs");
  expect(await sweep("watch")).toContain("missing required argument 'name'");
  const nobody = await freeAddress();
  expect((await elibadHere("sweep", "list", "--coordinator", nobody, "--insecure")).stderr).toBe(
    `elibad sweep list: --coordinator ${nobody}: no coordinator answers there\n`,
  );
});

test("a backup of a coordinator that runs, restored elsewhere, has its sweeps, and jobs go on from their committed state", async () => {
  const host = await startSweepHost();
  await elibadHere("sweep", "submit", await sweepFile(3), "--coordinator", host.address, "--insecure");
  await elibadHere("sweep", "watch", "friday", "--coordinator", host.address, "--insecure");
  const file = join(tempFolder(), "sweeps.backup");
  const words = (name: string) => ["coordinator", name, file];
  expect(await elibadHere(...words("backup"), "--coordinator", host.address, "--insecure")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/sweeps.backup: \d+ records, of term 1\n/),
  });
  // Nobody else can read the store of one that runs.
  rmSync(file);
  expect((await elibadHere(...words("backup"), "--state", host.place.folder)).stderr).toContain(
    `process ${process.pid} on`,
  );
  expect(existsSync(file)).toBe(false);
  const before = await elibadHere(
    "sweep",
    "list",
    "friday",
    "--json",
    "--coordinator",
    host.address,
    "--insecure",
  );
  await host.stop();
  expect((await elibadHere(...words("backup"), "--state", host.place.folder)).code).toBe(EXIT.done);

  const { folder } = embeddedPlace();
  expect((await elibadHere(...words("restore"), "--state", folder)).stdout).toMatch(
    /^restored: \d+ records\n$/,
  );
  expect((await elibadHere(...words("restore"), "--state", folder)).stderr).toContain("can adopt none");
  const again = await startSweepHost(embeddedPlace(folder));
  const after = await elibadHere(
    "sweep",
    "list",
    "friday",
    "--json",
    "--coordinator",
    again.address,
    "--insecure",
  );
  expect(JSON.parse(after.stdout)).toEqual(JSON.parse(before.stdout));
});

test("a store that was lost is not begun anew behind its results: the coordinator says so, and how to go on", async () => {
  const place = embeddedPlace();
  await (await startSweepHost(place)).stop();
  const known = await startSweepHost(place);
  await elibadHere("sweep", "submit", await sweepFile(1), "--coordinator", known.address, "--insecure");
  const file = join(tempFolder(), "sweeps.backup");
  await elibadHere("coordinator", "backup", file, "--coordinator", known.address, "--insecure");
  await known.stop();
  for (const end of ["", "-wal", "-shm"]) rmSync(`${place.folder}/state.db${end}`, { force: true });

  await expect(startSweepHost(place)).rejects.toThrow(
    /state.db: is in term 1, but .* up to term 2: their log was lost/,
  );
  rmSync(`${place.folder}/state.db`);
  expect((await elibadHere("coordinator", "restore", file, "--state", place.folder)).code).toBe(EXIT.done);
  const again = await startSweepHost(place);
  expect((await elibadHere("sweep", "list", "--coordinator", again.address, "--insecure")).stdout).toContain(
    "friday",
  );
});

test("jobs that an earlier coordinator began are gone on with, and its log says from where", async () => {
  const place = embeddedPlace();
  mkdirSync(place.folder);
  const log = await openSqliteLog(`${place.folder}/state.db`);
  const book = await SweepBook.open(log, { now: Date.now });
  await book.submit(sweepOf("friday", 3));
  await book.move({ sweep: "friday", job: "m0" }, events.started);
  await log.close();
  const host = await startSweepHost(place);
  expect(host.log()).toMatch(
    /the job goes on before its first committed step \(sweep=friday, job=m0, attempt=1\)/,
  );
  await elibadHere("sweep", "watch", "friday", "--coordinator", host.address, "--insecure");
  expect(readFileSync(join(place.folder, "term.json"), "utf8")).toContain('"term":2');
});

test("a coordinator without a store says which option it lacks", async () => {
  const { startCoordinator } = await import("../../../coordinator/coordinator.ts");
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: tempFolder(),
    drainMs: 10,
  });
  try {
    const { code, stderr } = await elibadHere(
      "sweep",
      "list",
      "--coordinator",
      coordinator.address,
      "--insecure",
    );
    expect([code, stderr]).toEqual([
      EXIT.wrongInput,
      "elibad sweep list: this coordinator keeps no sweeps: start it with --state DIR\n",
    ]);
  } finally {
    await coordinator.close();
  }
});

test("a job that waits is explained: by its place in the queue and the bounds, or by the workers that are not there", async () => {
  const { address } = await startSweepHost();
  const file = await sweepFile(4, "max_parallel: 1\n");
  copyFileSync(join(demoData, "clean_samples.jsonl"), join(dirname(file), "samples.jsonl"));
  await elibadHere("sweep", "submit", file, "--coordinator", address, "--insecure");
  const explain = async (job: string) =>
    (await elibadHere("sweep", "explain", `friday/${job}`, "--coordinator", address, "--insecure")).stdout;
  for (let text = ""; !text.includes("no worker is connected"); ) {
    text = await explain("m0");
    expect(text).toMatch(/^m0: (queued|scanning)$/m);
  }
  expect(await explain("m0")).toMatch(/of its operations wait for a worker[\s\S]*history[\s\S]*started/);
  expect(await explain("m3")).toMatch(
    /^m3: queued\n +2 jobs start before it\n +its sweep has 1 of at most 1 jobs at work \(max_parallel\)$/m,
  );
  await elibadHere("sweep", "cancel", "friday", "--coordinator", address, "--insecure");
  expect(await explain("m0")).toMatch(/^m0: cancelled$/m);
});
