import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { inTree } from "../support/image-process.ts";
import type { Objects, Secret } from "../support/manifests/objects.ts";
import { resultFiles } from "../support/result-files.ts";
import { calmSweep, writeSmallSweep } from "../support/small-sweep.ts";
import { tempFolder } from "../support/temp-folder.ts";
import type { RunningPods } from "./pods-as-processes.ts";

/** Submits a small sweep with the submitter's certificate out of its secret, uploads its models, and waits for its end: it must give what it gives without a cluster. */
export async function runSweep(pods: RunningPods, objects: Objects): Promise<void> {
  const sweep = await writeSmallSweep(2);
  const elibad = commandOf(pods, objects);
  const submitted = elibad("sweep", "submit", sweep.file, "--upload");
  expect(submitted.code, `${submitted.stderr}\n${pods.log()}`).toBe(0);
  const watched = elibad("sweep", "watch", sweep.name);
  expect(watched.code, `${watched.stderr}\n${pods.log()}`).toBe(0);
  expect(watched.stderr).toContain("2 of 2 done");
  const { files } = await calmSweep(sweep);
  const results = join(pods.claim("coordinator-state"), "state", "results", sweep.name);
  for (const job of sweep.jobs)
    expect(bytesOf(resultFiles(join(results, job)))).toEqual(bytesOf(files.get(job)));
}

/** Files that are compared by digest: traces, repaired checkpoints. The others name where a model came from, which is an upload here. */
const bytesOf = (files: unknown): readonly unknown[] =>
  Object.entries(files as object).filter(([, content]) => typeof content === "string");

/** `elibad` out of the coordinator's image, as a pod beside it would run it. */
function commandOf({ enter, coordinatorTree, namespace }: RunningPods, objects: Objects) {
  const folder = tempFolder();
  const { data = {} } = objects.find<Secret>("Secret", "submitter-tls")!;
  for (const [key, base64] of Object.entries(data))
    writeFileSync(join(folder, key), Buffer.from(base64, "base64"));
  const tls = ["cert", "key"].flatMap((name) => [
    `--tls-${name}`,
    join(folder, `tls.${name === "cert" ? "crt" : "key"}`),
  ]);
  const at = [
    "--coordinator",
    `coordinator.${namespace}.svc:7070`,
    ...tls,
    "--tls-ca",
    join(folder, "ca.crt"),
  ];
  const program = inTree(coordinatorTree, coordinatorTree.entrypoint);
  return (...words: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(
      enter[0]!,
      [...enter.slice(1), ...program, ...words, ...at],
      {
        encoding: "utf8",
        env: { PATH: process.env.PATH, TMPDIR: folder, ...coordinatorTree.env, HOME: folder },
        timeout: 240_000,
      },
    );
    return { code: status, stdout, stderr };
  };
}
