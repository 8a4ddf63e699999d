import { readFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import type { Operation } from "../../proto/operations.ts";
import { packageRoot } from "../../proto/package-root.ts";
import { MAX_INLINE_RESULT_BYTES } from "../../proto/result-envelope.ts";
import type { FromChild } from "../../worker/child/messages.ts";
import { InferenceChild } from "../../worker/supervisor/inference-child.ts";
import type { Bench } from "./scenario.ts";

/** Memory of a process that lives, in bytes. */
export interface ProcessMemory {
  /** Most that was ever resident: mapped files (weights) and its own pages. */
  readonly peak: number;
  /** Pages of its own that are resident now, mapped files left out. */
  readonly anonymous: number;
}

/** A real inference child, as a worker's supervisor starts it. */
export interface BenchChild {
  /** Rejects with the child's message where the operation fails, or the child dies. */
  run(operation: Operation): Promise<void>;
  /** Undefined on systems without `/proc`. */
  memory(): ProcessMemory | undefined;
  close(): Promise<void>;
}

export async function startInferenceChild({
  folder,
  models,
  threads,
}: Pick<Bench, "folder" | "models" | "threads">): Promise<BenchChild> {
  const resultFolder = await mkdtemp(join(folder, "child-"));
  let heard: (message: FromChild) => void = () => {};
  let died: (reason: Error) => void = () => {};
  const next = (): Promise<FromChild> =>
    new Promise((resolve, reject) => {
      heard = resolve;
      died = reject;
    });
  const ready = next();
  const child = new InferenceChild(
    join(packageRoot, "dist", "worker", "child", "main.js"),
    {
      artifactFolder: models.artifactFolder,
      resultFolder,
      maxInlineBytes: MAX_INLINE_RESULT_BYTES,
      device: "cpu",
      form: "primitive",
      threads,
      engineOptions: {},
    },
    {
      message: (message) => heard(message),
      exit: ({ reason }) => died(new Error(`the inference child ended: ${reason}`)),
      line: () => {},
    },
  );
  const first = await ready;
  if (first.kind === "unusable") throw new Error(first.message);
  return {
    async run(operation) {
      const coming = next();
      child.send({ kind: "run", runs: [{ ticket: 1, operation }] });
      const finished = await coming;
      if (finished.kind !== "finished") throw new Error(`the child said '${finished.kind}', not 'finished'`);
      const [answer] = finished.answers;
      if (answer?.outcome.kind === "error") throw new Error(answer.outcome.message);
    },
    memory: () => memoryOf(child.pid),
    close: () => child.kill(),
  };
}

function memoryOf(pid: number | undefined): ProcessMemory | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const bytes = (field: string) =>
      Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)![1]) * 1024;
    return { peak: bytes("VmHWM"), anonymous: bytes("RssAnon") };
  } catch {
    return undefined;
  }
}
