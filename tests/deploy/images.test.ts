import { spawnSync } from "node:child_process";
import { chmodSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { elibadHere } from "../support/command-line.ts";
import { readDockerfile } from "../support/dockerfile.ts";
import { freePorts } from "../support/free-ports.ts";
import { inTree, processOne, startImage } from "../support/image-process.ts";
import {
  buildImageTree,
  copyTree,
  IMAGES,
  type ImageName,
  type ImageTree,
  imagesFolder,
  runFromCheckout,
} from "../support/image-tree.ts";
import type { OnEnd } from "../support/on-end.ts";
import { childrenOf } from "../support/processes.ts";
import { randomModel } from "../support/random-model.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { eventually, isRunning } from "../support/worker-scenes.ts";

test.each(IMAGES)(
  "the image of %s has pinned bases, a numeric user that is not root, and says what it is",
  (name) => {
    const stages = readDockerfile(join(imagesFolder, `${name}.Dockerfile`));
    for (const { base } of stages) expect(base).toMatch(/^[a-z/]+:\d+\.\d+\.\d+-/);
    const { steps } = stages.at(-1)!;
    expect(steps).toContainEqual({ kind: "user", user: "10001:10001" });
    const labels = steps.flatMap((step) => (step.kind === "label" ? [step.name] : []));
    for (const each of ["title", "description", "version", "revision", "licenses", "base.name"]) {
      expect(labels).toContain(`org.opencontainers.image.${each}`);
    }
    // Only stages that are thrown away run anything: the last one is files.
    expect(steps.filter(({ kind }) => kind === "run")).toEqual([]);
    const version = steps.find((step) => step.kind === "label" && step.name.endsWith(".version"));
    expect(version).toMatchObject({ value: packageVersion() });
  },
);

test("coordinator and worker run from their images' files alone, as process 1: they compute, reap, drain at SIGTERM, and write only where they are told", async (context) => {
  const coordinatorTree = await tree("coordinator");
  const workerTree = await tree("worker-cpu");
  const before = [coordinatorTree, workerTree].map(({ root }) => listing(root));
  const enter = processOne(context, coordinatorTree.user);
  const [port, coordinatorMetrics, workerMetrics] = (await freePorts(3)) as [number, number, number];
  const address = `127.0.0.1:${port}`;
  const coordinator = startImage(
    coordinatorTree,
    [
      "coordinator",
      "--listen",
      address,
      "--insecure",
      "--state",
      openFolder(),
      "--metrics-port",
      String(coordinatorMetrics),
    ],
    { enter, tmp: openFolder() },
  );
  await eventually(
    () => coordinator.log().includes("leading"),
    `a coordinator that leads: ${coordinator.log()}`,
  );
  const worker = startImage(
    workerTree,
    [
      "worker",
      "--coordinator",
      address,
      "--insecure",
      "--cache",
      openFolder(),
      "--threads",
      "1",
      "--metrics-port",
      String(workerMetrics),
    ],
    { enter, tmp: openFolder() },
  );
  const model = await randomModel();
  const rows = join(model, "rows.jsonl");
  writeFileSync(rows, `${JSON.stringify({ input_ids: [0, 11, 12, 2] })}\n`);
  openToAll(model);

  const answer = await elibadHere(
    "predict",
    "--model",
    model,
    "--ids",
    rows,
    "--coordinator",
    address,
    "--insecure",
    "--code-max-len",
    "64",
  );
  expect(answer.code, `${answer.stderr}\n${coordinator.log()}\n${worker.log()}`).toBe(0);
  expect(isHealthy(coordinatorTree, coordinatorMetrics)).toBe(true);
  expect(isHealthy(workerTree, workerMetrics)).toBe(true);

  const child = childrenOf(worker.pid())[0]!;
  process.kill(child, "SIGKILL");
  await eventually(
    () => !isRunning(child) && childrenOf(worker.pid()).every(isRunning),
    "an inference child that is reaped",
  );
  for (const each of [worker, coordinator]) {
    process.kill(each.pid(), "SIGTERM");
    expect(await each.exit(), each.log()).toBe(0);
  }
  expect(isHealthy(workerTree, workerMetrics)).toBe(false);
  expect([coordinatorTree, workerTree].map(({ root }) => listing(root))).toEqual(before);
});

test("the CUDA worker's files are whole but for onnxruntime's CUDA libraries, which it names where they are missing", async () => {
  const cuda = await tree("worker-cuda");
  const [port] = (await freePorts(1)) as [number];
  const at = ["--coordinator", `127.0.0.1:${port}`, "--insecure"];
  const args = ["worker", ...at, "--device", "cuda", "--cache", openFolder()];
  const worker = startImage(cuda, args, { enter: [], tmp: openFolder() });
  expect(await worker.exit()).toBe(1);
  expect(worker.log()).toContain("it needs onnxruntime's CUDA libraries");
});

test("an image that lacks a file of its program does not start", async () => {
  const whole = await tree("coordinator");
  const root = openFolder();
  copyTree(whole.root, root);
  rmSync(join(root, "app/proto/elibad.proto"));
  const [port] = (await freePorts(1)) as [number];
  const args = ["coordinator", "--listen", `127.0.0.1:${port}`, "--insecure"];
  const broken = startImage({ ...whole, root }, args, { enter: [], tmp: openFolder() });
  expect(await broken.exit()).not.toBe(0);
  expect(broken.log()).toContain("elibad.proto");
});

/** Made once for this file: tests only read them. */
const trees = new Map<ImageName, Promise<ImageTree>>();
const fileEnds: (() => void | Promise<void>)[] = [];
afterAll(async () => {
  for (const end of fileEnds) await end();
});

function tree(name: ImageName): Promise<ImageTree> {
  const known = trees.get(name);
  if (known !== undefined) return known;
  const into = openFolder((end) => void fileEnds.push(end));
  const made = buildImageTree(name, { into, run: runFromCheckout });
  trees.set(name, made);
  return made;
}

/** A folder that the image's user may use, too. */
function openFolder(onEnd?: OnEnd): string {
  const folder = tempFolder(onEnd);
  chmodSync(folder, 0o777);
  return folder;
}

function openToAll(folder: string): void {
  chmodSync(folder, 0o755);
  for (const name of readdirSync(folder)) chmodSync(join(folder, name), 0o644);
}

/** Every file with its size and time of change. */
function listing(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((name) => {
      const { size, mtimeMs } = lstatSync(join(root, name));
      return `${name} ${size} ${mtimeMs}`;
    })
    .sort();
}

/** What the image's own HEALTHCHECK says, asked at another port. */
function isHealthy(of: ImageTree, port: number): boolean {
  const words = inTree(of, of.healthcheck).map((word) => word.replace(":9464/", `:${port}/`));
  return spawnSync(words[0]!, words.slice(1)).status === 0;
}

const packageVersion = (): string =>
  (JSON.parse(readFileSync(join(imagesFolder, "../../package.json"), "utf8")) as { version: string }).version;
