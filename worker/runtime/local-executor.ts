import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, link, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../../proto/canonical-json.ts";
import type { Digest, Executor, Operation, OperationResult } from "../../proto/operations.ts";
import { digestOfFile } from "../cache/digest.ts";
import { Engine, type EngineOptions, type EngineResult } from "./engine.ts";

export interface LocalExecutorOptions
  extends Omit<EngineOptions, "resolveArtifact" | "programFolder" | "resultFolder"> {
  /** Holds `artifacts/<digest>` and the engine's programs. Made where it is missing, never removed. */
  readonly folder: string;
}

export interface LocalExecutor extends Executor {
  /** Ends the engine; artifacts stay in the folder. */
  close(): Promise<void>;
}

/** Operations in this process, without coordinator or workers: for tests and tools. */
export async function createLocalExecutor({
  folder,
  ...options
}: LocalExecutorOptions): Promise<LocalExecutor> {
  const artifacts = join(folder, "artifacts");
  await mkdir(artifacts, { recursive: true });
  const pathOf = (digest: Digest) => join(artifacts, digest);
  const engine = new Engine({
    ...options,
    programFolder: join(folder, "programs"),
    resultFolder: join(folder, "results"),
    resolveArtifact: async (digest) => pathOf(digest),
  });
  const taken = async ({ written, ...result }: EngineResult): Promise<OperationResult> => {
    if (!written) return result;
    for (const { path, digest } of written) await rename(path, pathOf(digest));
    return { ...result, artifacts: Object.fromEntries(written.map(({ name, digest }) => [name, digest])) };
  };
  return {
    async execute(operations: readonly Operation[], signal?: AbortSignal): Promise<OperationResult[]> {
      const results: OperationResult[] = [];
      for (const operation of operations) {
        signal?.throwIfAborted();
        results.push(await taken(await engine.run(operation)));
      }
      return results;
    },
    async putArtifact(bytes) {
      const digest = digestOf(bytes);
      // Two callers may bring the same bytes at a time; each writes a file of its own.
      const partial = `${pathOf(digest)}.${randomUUID()}.partial`;
      await writeFile(partial, bytes);
      await rename(partial, pathOf(digest));
      return digest;
    },
    async putFile(path) {
      const digest = await digestOfFile(path);
      if ((await stat(pathOf(digest)).catch(() => undefined)) === undefined)
        await bring(path, pathOf(digest));
      return digest;
    },
    readArtifact: (digest) => readFile(pathOf(digest)),
    releaseArtifact: (digest) => rm(pathOf(digest), { force: true }),
    close: () => engine.close(),
  };
}

async function bring(from: string, to: string): Promise<void> {
  await link(from, to).catch(async () => {
    const partial = `${to}.${randomUUID()}.partial`;
    await copyFile(from, partial, constants.COPYFILE_FICLONE);
    await rename(partial, to);
  });
}
