import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { EXIT } from "../../coordinator/cli/errors.ts";
import { elibadHere, startElibad } from "../support/command-line.ts";
import { startWorkerProcesses } from "../support/processes.ts";
import { S3_ENVIRONMENT, s3Missing, startS3Server } from "../support/s3-server.ts";
import { embeddedPlace, startSweepHost } from "../support/sweep-host.ts";
import { writeSmallSweep } from "../support/sweep-processes.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { eventually } from "../support/worker-scenes.ts";

const EPOCHS = 3;
const missing = s3Missing();

const traceOf = (folder: string, sweep: string, job: string): string =>
  readFileSync(join(folder, "results", sweep, job, "trace.jsonl"), "utf8");

const weightsOf = (folder: string): string =>
  join(folder, readdirSync(folder).find((name) => /\.(bin|safetensors)$/.test(name))!);

const startWorker = (address: string) =>
  startWorkerProcesses(1, {
    protection: "plain",
    coordinators: [address],
    threads: 1,
    cacheFolder: tempFolder(),
  });

const renamed = (file: string, name: string): void =>
  writeFileSync(file, readFileSync(file, "utf8").replace(/^name: .*$/m, `name: ${name}`));

test("an upload that breaks goes on where it was, is not sent twice, and its job needs nothing of the client's machine", async () => {
  const file = await writeSmallSweep({ name: "uploaded", models: ["model"], epochs: EPOCHS });
  const place = embeddedPlace();
  const host = await startSweepHost(place);
  const proxy = await startTcpProxy({ host: "127.0.0.1", port: Number(host.address.split(":")[1]) });
  const at = ["--coordinator", `127.0.0.1:${proxy.port}`, "--insecure"];
  const weights = readdirSync(join(dirname(file), "model")).find((name) =>
    /\.(bin|safetensors)$/.test(name),
  )!;
  proxy.cutAfter({ requests: Math.floor(statSync(join(dirname(file), "model", weights)).size / 2) });
  const first = await elibadHere("sweep", "submit", file, "--upload", ...at);
  expect([first.code, first.stdout]).toEqual([EXIT.done, "sweep 'uploaded' is submitted: 1 job\n"]);
  expect(proxy.cuts).toBe(1);

  const again = await elibadHere("sweep", "submit", file, "--upload", ...at);
  expect(again.stderr).toMatch(/0\.0 MB sent/);
  expect(again.stdout).toBe("sweep 'uploaded' was there already: nothing changed\n");

  // Of another sweep, the same weights are there already.
  renamed(file, "other");
  expect((await elibadHere("sweep", "submit", file, "--upload", ...at)).stderr).toMatch(/0\.0 MB sent/);
  renameSync(dirname(file), `${dirname(file)}-gone`);
  onTestFinished(() => rmSync(`${dirname(file)}-gone`, { recursive: true, force: true }));

  startWorker(host.address);
  for (const sweep of ["uploaded", "other"]) {
    const watched = await elibadHere("sweep", "watch", sweep, "--coordinator", host.address, "--insecure");
    expect(watched.stderr).toContain(`${sweep}: 1 of 1 done`);
  }
  expect(traceOf(place.folder, "uploaded", "model")).toBe(traceOf(place.folder, "other", "model"));
  expect(readdirSync(join(place.folder, "uploads", "partial"))).toEqual([]);
}, 300_000);

test("a client that is killed while it sends goes on, when it is run again, where it was", async () => {
  const file = await writeSmallSweep({ models: ["model"], epochs: EPOCHS });
  const [rangeMb, fillerMb] = [16.8, 60];
  writeFileSync(join(dirname(file), "model", "tokenizer.json"), randomBytes(fillerMb * 1e6));
  const place = embeddedPlace();
  const host = await startSweepHost(place);
  const partial = join(place.folder, "uploads", "partial");
  const sentMb = (): number =>
    readdirSync(partial).reduce((sum, name) => sum + statSync(join(partial, name)).size, 0) / 1e6;
  const words = ["sweep", "submit", file, "--upload", "--insecure", "--coordinator"];
  const proxy = await startTcpProxy({ host: "127.0.0.1", port: Number(host.address.split(":")[1]) });
  proxy.dropAfter({ requests: (fillerMb / 2) * 1e6 });
  const client = startElibad([...words, `127.0.0.1:${proxy.port}`]);
  await eventually(() => sentMb() > rangeMb, "more than a range that has come");
  client.process.kill("SIGKILL");
  await once(client.process, "exit");
  expect(sentMb()).toBeLessThan(fillerMb);
  const again = await elibadHere(...words, host.address);
  expect(again.code).toBe(EXIT.done);
  const [, sent, known] = /([\d.]+) MB sent, ([\d.]+) MB were there already/.exec(again.stderr)!;
  expect(Number(known)).toBeGreaterThan(rangeMb);
  expect(Number(sent)).toBeLessThan(fillerMb);
}, 300_000);

test("a sweep that names an upload which is not whole is refused, and a folder without a checkpoint is not sent", async () => {
  const host = await startSweepHost();
  const file = await writeSmallSweep({ models: ["model"], epochs: EPOCHS });
  const at = ["--coordinator", host.address, "--insecure"];
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace(/^models: .*$/m, `models: [{ mine: "upload:${"a".repeat(64)}" }]`));
  const unknown = await elibadHere("sweep", "submit", file, ...at);
  expect(unknown.code).toBe(EXIT.wrongInput);
  expect(unknown.stderr).toContain(`upload:${"a".repeat(64)}: its manifest is not there; send it again`);

  writeFileSync(file, text.replace(/^samples: .*$/m, `samples: ${dirname(file)}/no-such.jsonl`));
  const gone = await elibadHere("sweep", "submit", file, "--upload", ...at);
  expect(gone.code).toBe(EXIT.wrongInput);
  expect(gone.stderr).toContain(`sweep.yaml: samples ${dirname(file)}/no-such.jsonl: no such file`);

  writeFileSync(file, text);
  rmSync(join(dirname(file), "model", "config.json"));
  const weights = readdirSync(join(dirname(file), "model")).find((name) =>
    /\.(bin|safetensors)$/.test(name),
  )!;
  renameSync(join(dirname(file), "model", weights), join(dirname(file), "model", "notes.txt"));
  const empty = await elibadHere("sweep", "submit", file, "--upload", ...at);
  expect(empty.code).toBe(EXIT.wrongInput);
  expect(empty.stderr).toContain("no checkpoint in it");
});

test("models on a volume that coordinator and worker mount at different paths are neither sent nor copied, with the same trace", async () => {
  const file = await writeSmallSweep({ name: "volume", models: ["model"], epochs: EPOCHS });
  const volume = dirname(file);
  const mounted = join(tempFolder(), "mnt");
  symlinkSync(volume, mounted);
  const place = embeddedPlace();
  const host = await startSweepHost(place, { models: volume });
  const cacheFolder = tempFolder();
  const [worker] = startWorkerProcesses(1, {
    protection: "plain",
    coordinators: [host.address],
    threads: 1,
    cacheFolder,
    models: mounted,
  });
  const at = ["--coordinator", host.address, "--insecure"];
  await elibadHere("sweep", "submit", file, ...at);
  await elibadHere("sweep", "watch", "volume", ...at);
  const weights = weightsOf(join(volume, "model"));
  const bytes = statSync(weights).size;
  expect(host.log()).toContain(`${weights} (${bytes} bytes) used in place`);
  expect(worker!.log()).toMatch(new RegExp(`artifact \\w+ \\(${bytes} bytes\\) used in place`));
  expect(worker!.log()).not.toMatch(new RegExp(`\\(${bytes} bytes\\) (fetched|linked|copied)`));
  const copies = readdirSync(cacheFolder, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && statSync(join(entry.parentPath, entry.name)).size === bytes,
  );
  expect(copies).toEqual([]);

  renamed(file, "sent");
  const plain = await startSweepHost();
  startWorker(plain.address);
  await elibadHere("sweep", "submit", file, "--coordinator", plain.address, "--insecure");
  await elibadHere("sweep", "watch", "sent", "--coordinator", plain.address, "--insecure");
  expect(traceOf(place.folder, "volume", "model")).toBe(traceOf(plain.place.folder, "sent", "model"));
}, 300_000);

describe.skipIf(missing !== undefined)("sweeps of models in buckets", () => {
  test("a job reads its model and samples from a bucket, with the same trace as from a folder; one whose model is not there fails alone, and is retried once it is", async () => {
    for (const [name, value] of Object.entries(S3_ENVIRONMENT)) vi.stubEnv(name, value);
    onTestFinished(() => void vi.unstubAllEnvs());
    const server = await startS3Server();
    onTestFinished(() => server.stop());
    await server.makeBucket("lab");
    const file = await writeSmallSweep({
      name: "buckets",
      models: ["local"],
      epochs: EPOCHS,
      maxParallel: 3,
    });
    const folder = dirname(file);
    const put = async (path: string, key: string) => server.put("lab", key, readFileSync(path));
    const putModel = async (prefix: string) => {
      for (const name of readdirSync(join(folder, "local")))
        await put(join(folder, "local", name), `${prefix}/${name}`);
    };
    await putModel("models/there");
    await put(join(folder, "samples.jsonl"), "data/samples.jsonl");
    const text = readFileSync(file, "utf8")
      .replace(/^models: \[(.*)\]$/m, "models: [$1, s3://lab/models/there/, s3://lab/models/late]")
      .replace(/^samples: .*$/m, "samples: s3://lab/data/samples.jsonl");
    writeFileSync(file, `${text}s3: { endpoint: "${server.endpoint}", path_style: true }\n`);

    const place = embeddedPlace();
    const host = await startSweepHost(place);
    startWorker(host.address);
    const at = ["--coordinator", host.address, "--insecure"];
    expect((await elibadHere("sweep", "submit", file, ...at)).stdout).toContain("3 jobs");
    await elibadHere("sweep", "watch", "buckets", ...at);
    const { stdout } = await elibadHere("sweep", "list", "buckets", "--json", ...at);
    const jobs = JSON.parse(stdout) as {
      readonly name: string;
      readonly phase: string;
      readonly reason: string;
    }[];
    expect(jobs.map(({ name, phase }) => `${name} ${phase}`)).toEqual([
      "local done",
      "there done",
      "late failed",
    ]);
    expect(jobs[2]!.reason).toBe("s3://lab/models/late: no object lies there");
    expect(traceOf(place.folder, "buckets", "there")).toBe(traceOf(place.folder, "buckets", "local"));
    expect(host.log()).toMatch(/s3:\/\/lab\/models\/there\/config\.json: \d+ of \d+ bytes fetched/);

    await putModel("models/late");
    expect((await elibadHere("sweep", "retry", "buckets", ...at)).stdout).toContain("1 job");
    const watched = await elibadHere("sweep", "watch", "buckets", ...at);
    expect(watched.stderr).toContain("buckets: 3 of 3 done");
    expect(traceOf(place.folder, "buckets", "late")).toBe(traceOf(place.folder, "buckets", "local"));
  }, 300_000);
});
